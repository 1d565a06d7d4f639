// A ticker's page: its candles with the entries and exits of the chosen algorithm. The live channel tells when a view
// turns; it doesn't tell of candles that turn nothing, so the page asks for the newest ones while somebody looks.
import { api } from "@shared/api.js";
import { candleTimeElement, formatTime, isBefore } from "@shared/times.js";
import { isShown, viewBadge, viewChange } from "@shared/views.js";
import { openChart } from "./chart/candles.js";
import { priceText } from "./chart/precision.js";
import { Silences, showStale } from "./parts/stale.js";
import { AlertSwitch } from "./ticker/alert_switch.js";

const CANDLES = 500;
const NEWEST = 20;
const ASK_EVERY_MS = 5_000;
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

/** The cards of the changes as markers; a candle is known by its open, a change by the close. */
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
  /** As the chart has them: oldest first. */
  #candles = [];
  #live = false;
  #turn = Promise.resolve();
  #refreshing = null;

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
    this.#document.addEventListener("live:snapshot", ({ detail }) => this.replaceAll(detail.views, detail.stale));
    this.#document.addEventListener("live:stale", ({ detail }) => this.stale(detail));
    this.#document.addEventListener("live:state", ({ detail }) => {
      this.#live = detail.state === "live";
    });
  }

  /** Asks for the newest candles every few seconds while the page is looked at. */
  watch() {
    let timer;
    const ask = async () => {
      clearTimeout(timer);
      if (this.#document.visibilityState === "hidden") return;
      await this.confirm();
      clearTimeout(timer);
      timer = setTimeout(ask, ASK_EVERY_MS);
    };
    this.#document.addEventListener("visibilitychange", ask);
    timer = setTimeout(ask, ASK_EVERY_MS);
  }

  /** Fetches the candles and draws them with the markers. */
  draw() {
    return this.#inTurn(() => this.#draw());
  }

  /** Looks whether there are newer candles; shows them, or that what the page shows is still the newest. */
  confirm() {
    return this.#inTurn(() => this.#confirm());
  }

  /** Takes the parts that change from a fresh copy of this page: the server alone writes the why. */
  refresh() {
    // A copy that was not asked for yet will hold whatever turned until then: one is enough.
    this.#refreshing ??= this.#inTurn(() => {
      this.#refreshing = null;
      return this.#refresh();
    });
    return this.#refreshing;
  }

  /** A snapshot is the whole truth: a pair that it does not list is HOLD, a ticker not under `stale` is not STALE. */
  replaceAll(views, stale = []) {
    const silences = Silences.ofSnapshot(stale);
    this.#showSilence((timeframe) => silences.of({ ticker: this.ticker, timeframe }) ?? null);
    const mine = new Map(views.filter(({ ticker }) => ticker === this.ticker).map((view) => [view.algorithm, view]));
    let turned = false;
    for (const tab of this.#tabs()) {
      const renewed = this.#renew(tab, mine.get(tab.dataset.tab) ?? { view: "HOLD", since: "" });
      turned ||= renewed && tab.dataset.tab === this.algorithm;
    }
    if (turned) this.refresh();
  }

  /** The ticker fell silent in a timeframe, or came back: tabs and state say so, the views stand. */
  stale(news) {
    const silences = new Silences();
    silences.tell(news);
    this.#showSilence((timeframe) => silences.of({ ticker: this.ticker, timeframe }));
  }

  #showSilence(sinceIn) {
    for (const tab of this.#tabs()) {
      const since = sinceIn(tab.dataset.timeframe);
      if (since !== undefined) showStale(tab, since, this.#document);
    }
    const since = sinceIn(this.#card.dataset.timeframe);
    const note = this.#document.querySelector("[data-stale-note]");
    if (!note || since === undefined) return;
    note.hidden = since === null;
    const shown = since === null ? [] : [candleTimeElement(since, "datetime", this.#document)];
    note.querySelector("[data-stale-since]").replaceChildren(...shown);
  }

  /** Changes of this ticker are shown on the tabs; one of the chosen algorithm renews table, state and chart. */
  change({ close_time: closeTime, changes }) {
    const mine = changes.filter(({ ticker }) => ticker === this.ticker);
    for (const { algorithm, from, to } of mine) {
      const tab = this.#tabs().find(({ dataset }) => dataset.tab === algorithm);
      if (!tab || isShown(tab.dataset, { to, closeTime })) continue;
      this.#showOn(tab, viewChange(from, to, this.#document), to, closeTime);
    }
    if (mine.some(({ algorithm }) => algorithm === this.algorithm)) this.refresh();
  }

  /** One thing after the other, so that a slow old answer never lies over a newer one. */
  #inTurn(work) {
    this.#turn = this.#turn.then(work);
    return this.#turn;
  }

  async #draw() {
    const state = this.#card.querySelector("[data-chart-state]");
    let page;
    try {
      page = await this.#fetchCandles(CANDLES);
    } catch (error) {
      if (state) state.textContent = `${error.message} The cards below say the same in words.`;
      return;
    }
    if (!page.items.length) {
      if (state) state.textContent = "Its candles are so old that they are no longer kept.";
      return;
    }
    state?.remove();
    this.#show(chartCandles(page.items), page.items[0]);
  }

  async #confirm() {
    let page;
    try {
      page = await this.#fetchCandles(NEWEST);
    } catch {
      return; // not confirmed: "current as of" stays where it is
    }
    const newest = chartCandles(page.items);
    const last = this.#candles.at(-1)?.time;
    if (last !== undefined && newest.at(-1)?.time === last) {
      this.#sayCurrent();
    } else if (!this.#live) {
      await this.#refresh(); // nobody has told of views that turned with these candles
    } else if (last === undefined || newest[0]?.time > last) {
      await this.#draw();
    } else {
      this.#show([...this.#candles.filter(({ time }) => time < newest[0].time), ...newest], page.items[0]);
    }
  }

  async #refresh() {
    const { DOMParser } = this.#document.defaultView;
    const url = new URL(this.#document.defaultView.location.href);
    url.searchParams.set("algorithm", this.algorithm);
    let fresh;
    try {
      const response = await fetch(url.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (!response.ok || response.redirected) return;
      fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    } catch {
      return; // the page stays as it was; the live state says that there is no connection
    }
    for (const part of ["[data-changes]", "[data-current-view]", "[data-stale-note]"]) {
      const [now, next] = [this.#document.querySelector(part), fresh.querySelector(part)];
      if (now && next) now.replaceWith(next);
    }
    const views = new Map([...fresh.querySelectorAll("[data-tab]")].map(({ dataset }) => [dataset.tab, dataset]));
    for (const tab of this.#tabs()) {
      const next = views.get(tab.dataset.tab);
      if (!next) continue;
      this.#renew(tab, next);
      showStale(tab, next.stale ?? null, this.#document);
    }
    await this.#draw();
  }

  /** Returns whether the tab showed another view, or the same one since an earlier close. */
  #renew(tab, { view, since }) {
    // What is older than the page is behind it.
    if (tab.dataset.view === view && !isBefore(tab.dataset.since, since)) return false;
    if (isBefore(since, tab.dataset.since)) return false;
    this.#showOn(tab, viewBadge(view, this.#document), view, since);
    return true;
  }

  #fetchCandles(limit) {
    const { ticker, timeframe } = this.#card.dataset;
    const query = new URLSearchParams({ ticker, timeframe, limit: String(limit) });
    // The browser asks with the ETag of the last answer, so that the same candles come as a few bytes.
    return api(`candles?${query}`, { document: this.#document });
  }

  #show(candles, newest) {
    this.#candles = candles;
    this.#chart ??= this.#chartOf(this.#card.querySelector("[data-chart]"));
    this.#chart.show(candles, this.#markers());
    if (newest) {
      const form = this.#card.dataset.timeframe === "1d" ? "date" : "datetime";
      const [close, time] = ["close", "time"].map((part) => this.#document.querySelector(`[data-last-${part}]`));
      if (close) close.textContent = priceText(newest.close);
      time?.replaceChildren(candleTimeElement(newest.time, form, this.#document));
    }
    this.#sayCurrent();
  }

  #sayCurrent() {
    const clock = this.#document.querySelector("[data-confirmed-as-of]");
    if (!clock) return;
    clock.dateTime = new Date().toISOString();
    clock.textContent = formatTime(clock.dateTime, "time");
  }

  #showOn(tab, badge, view, since) {
    tab.dataset.view = view;
    tab.dataset.since = since ?? "";
    tab.querySelector(".algorithm-tab__view").replaceChildren(badge);
  }

  #tabs() {
    return [...this.#document.querySelectorAll("[data-tab]")];
  }

  #markers() {
    return markersOf(this.#document.querySelectorAll("[data-change]"), this.#card.dataset.timeframe);
  }
}

if (globalThis.document?.querySelector("[data-ticker-page]")) {
  const page = new TickerPage(document);
  page.listen();
  // on a phone the tabs scroll sideways
  document.querySelector("[data-tab][aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  page.draw();
  page.watch();
  new AlertSwitch(document).start();
}
