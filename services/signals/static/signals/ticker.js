// A ticker's page: its candles with the entries and exits of the chosen algorithm, kept up to date by the live channel.
import { api, items } from "@shared/api.js";
import { localiseTimes } from "@shared/times.js";
import { viewBadge, viewChange } from "@shared/views.js";
import { openChart } from "./chart/candles.js";

const CANDLES = 500;
const LENGTHS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400 };

/** Seconds since 1970, as the chart wants its times. */
export function seconds(moment) {
  return Math.floor(Date.parse(moment) / 1000);
}

/** API candles, newest first, as the chart takes them: oldest first, each time once, late ones among the others. */
export function chartCandles(candles) {
  return candles
    .map(({ time, open, high, low, close, volume }) => ({ time: seconds(time), open, high, low, close, volume }))
    .sort((a, b) => a.time - b.time);
}

/** The rows of the table of changes as markers; a candle is known by its open, a change by the close. */
export function markersOf(rows, timeframe) {
  return [...rows]
    .map(({ dataset }) => ({ time: seconds(dataset.time) - LENGTHS[timeframe], view: dataset.to }))
    .sort((a, b) => a.time - b.time);
}

/** The page; `chartOf` makes the chart (the library draws on a canvas that tests don't have). */
export class TickerPage {
  #document;
  #card;
  #chartOf;
  #chart = null;

  constructor(document, chartOf = openChart) {
    this.#document = document;
    this.#card = document.querySelector("[data-ticker-page]");
    this.#chartOf = chartOf;
  }

  get ticker() {
    return this.#card.dataset.ticker;
  }

  get algorithm() {
    return this.#card.dataset.algorithm;
  }

  listen() {
    this.#document.addEventListener("live:views_changed", ({ detail }) => this.change(detail));
    this.#document.addEventListener("live:snapshot", ({ detail }) => this.replaceAll(detail.views));
  }

  /** Fetches the candles and draws them with the markers. */
  async draw() {
    const place = this.#card.querySelector("[data-chart]");
    const state = place.querySelector("[data-chart-state]");
    const { ticker, timeframe } = this.#card.dataset;
    const query = new URLSearchParams({ ticker, timeframe, limit: String(CANDLES) });
    let page;
    try {
      page = await api(`candles?${query}`, { document: this.#document });
    } catch (error) {
      if (state) state.textContent = `${error.message} The table below says the same in words.`;
      return;
    }
    state?.remove();
    this.#chart ??= this.#chartOf(place);
    this.#chart.show(chartCandles(page.items), this.#markers());
  }

  /** A snapshot is the whole truth: a pair that it does not list is HOLD. */
  replaceAll(views) {
    const mine = new Map(views.filter(({ ticker }) => ticker === this.ticker).map((view) => [view.algorithm, view.view]));
    let turned = false;
    for (const tab of this.#document.querySelectorAll("[data-tab]")) {
      const view = mine.get(tab.dataset.tab) ?? "HOLD";
      const shown = tab.querySelector("[data-view]:last-child")?.dataset.view;
      if (shown === view) continue;
      tab.querySelector(".algorithm-tab__view").replaceChildren(viewBadge(view, this.#document));
      turned ||= tab.dataset.tab === this.algorithm;
    }
    if (turned) this.refresh();
  }

  /** Changes of this ticker are shown on the tabs; one of the chosen algorithm renews table, state and chart. */
  change({ changes }) {
    const mine = changes.filter(({ ticker }) => ticker === this.ticker);
    for (const { algorithm, from, to } of mine) {
      const tab = [...this.#document.querySelectorAll("[data-tab]")].find((each) => each.dataset.tab === algorithm);
      tab?.querySelector(".algorithm-tab__view").replaceChildren(viewChange(from, to, this.#document));
    }
    if (mine.some(({ algorithm }) => algorithm === this.algorithm)) this.refresh();
  }

  /** Takes the parts that change from a fresh copy of this page: the server alone writes the why. */
  async refresh() {
    const { DOMParser } = this.#document.defaultView;
    const url = new URL(this.#document.defaultView.location.href);
    url.searchParams.set("algorithm", this.algorithm);
    try {
      const response = await fetch(url.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (!response.ok || response.redirected) return;
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const part of ["[data-changes]", "[data-current-view]", "[data-last-close]", "[data-last-time]"]) {
        const [now, next] = [this.#document.querySelector(part), fresh.querySelector(part)];
        if (now && next) now.replaceWith(next);
      }
      localiseTimes(this.#document);
    } catch {
      return; // the page stays as it was; the live state says that there is no connection
    }
    await this.draw();
  }

  #markers() {
    return markersOf(this.#document.querySelectorAll("[data-change]"), this.#card.dataset.timeframe);
  }
}

/** The switch beside the chart: an alert on this algorithm and ticker, made and deleted through the API. */
export class AlertSwitch {
  #root;
  #button;
  #note;
  #pair;
  #alert = null;
  #covered = false;
  #document;

  constructor(document) {
    this.#document = document;
    this.#root = document.querySelector("[data-alert-switch]");
    this.#button = this.#root.querySelector("button");
    this.#note = this.#root.querySelector("[role=status]");
    const { ticker, algorithm } = document.querySelector("[data-ticker-page]").dataset;
    this.#pair = { algorithm, ticker };
  }

  /** Looks whether there is an alert already, and shows the switch. */
  async start() {
    try {
      for await (const alert of items("alerts", { document: this.#document })) {
        if (alert.algorithm !== this.#pair.algorithm) continue;
        if (alert.ticker === this.#pair.ticker) this.#alert = alert;
        this.#covered ||= alert.ticker === null;
      }
    } catch {
      return; // alerts can't be reached: better no switch than one that lies
    }
    this.#button.addEventListener("click", () => this.toggle());
    this.#show();
    this.#root.hidden = false;
  }

  async toggle() {
    if (this.#button.disabled) return;
    this.#button.disabled = true;
    try {
      if (this.#alert === null) {
        const body = { ...this.#pair, channels: ["mail"] };
        this.#alert = await api("alerts", { method: "POST", body, document: this.#document });
      } else {
        await api(`alerts/${encodeURIComponent(this.#alert.id)}`, { method: "DELETE", document: this.#document });
        this.#alert = null;
      }
      this.#show();
    } catch (error) {
      this.#note.textContent = error.message;
    } finally {
      this.#button.disabled = false;
    }
  }

  #show() {
    const on = this.#alert !== null;
    this.#button.setAttribute("aria-pressed", String(on));
    this.#button.textContent = on ? "Stop the alert" : "Alert me";
    this.#button.classList.toggle("button--quiet", on);
    this.#note.textContent = on ? "You get a mail when this view turns." : "";
    if (!on && this.#covered) {
      this.#button.hidden = true;
      this.#note.textContent = "Your alert on all tickers of this algorithm covers it.";
    }
  }
}

if (globalThis.document?.querySelector("[data-ticker-page]")) {
  const page = new TickerPage(document);
  page.listen();
  // on a phone the tabs scroll sideways
  document.querySelector("[data-tab][aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  page.draw();
  new AlertSwitch(document).start();
}
