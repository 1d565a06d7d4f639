// The board: shows on the cells what the live channel tells, and what has just changed anywhere above them.
import { candleTimeElement, isBefore } from "@shared/times.js";
import { isShown, viewBadge, viewChange } from "@shared/views.js";
import { Silences, showStale } from "./parts/stale.js";

const CHANGES_SHOWN = 6;
// Ears can't look away: however much turns, they are told how much, and not more often than this.
const SAY_EVERY_MS = 30_000;

/** Follows the live channel on a board that the server has rendered. */
export class Board {
  #document;
  #cells = new Map();
  #status;
  #unsaid = 0;
  #timer = null;
  /** While paused: what to show afterwards. One entry for each pair, so that hours of it take no more room. */
  #held = null;

  constructor(document) {
    this.#document = document;
    this.#status = document.querySelector("[data-board-status]");
    for (const cell of document.querySelectorAll("[data-board] [data-algorithm]")) {
      this.#cells.set(keyOf(cell.dataset), cell);
    }
  }

  listen() {
    this.#document.addEventListener("live:snapshot", ({ detail }) => this.replaceAll(detail.views, detail.stale));
    this.#document.addEventListener("live:stale", ({ detail }) => this.stale(detail));
    this.#document.addEventListener("live:views_changed", ({ detail }) => this.change(detail));
    const button = this.#document.querySelector("[data-board-pause]");
    button?.addEventListener("click", () => {
      if (this.#held === null) this.pause();
      else this.resume();
      button.textContent = this.#held === null ? "Pause updates" : "Resume updates";
    });
    if (button) button.hidden = false;
  }

  /** Nothing on the page moves until `resume`. */
  pause() {
    this.#held ??= { snapshot: null, changes: new Map(), stale: [] };
    this.#document.body.dataset.livePaused = "";
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#unsaid = 0;
    this.#say("Updates are paused.");
  }

  /** Shows what came meanwhile, and goes on. */
  resume() {
    const { snapshot, changes, stale } = this.#held ?? { snapshot: null, changes: new Map(), stale: [] };
    this.#held = null;
    delete this.#document.body.dataset.livePaused;
    if (snapshot !== null) this.replaceAll(snapshot.views, snapshot.stale);
    for (const news of stale) this.stale(news);
    this.#say(changes.size > 0 ? `${counted(changes.size)} meanwhile.` : "Updates go on.");
    for (const { change, closeTime } of changes.values()) this.#show([change], closeTime);
  }

  /** A snapshot is the whole truth: a pair that it does not list is HOLD, a ticker not under `stale` is not STALE. */
  replaceAll(views, stale = []) {
    if (this.#held !== null) {
      this.#held = { snapshot: { views, stale }, changes: new Map(), stale: [] };
      return;
    }
    const silences = Silences.ofSnapshot(stale);
    for (const cell of this.#cells.values()) showStale(cell, silences.of(cell.dataset) ?? null, this.#document);
    const listed = new Map(views.map((view) => [keyOf(view), view]));
    for (const [key, cell] of this.#cells) {
      const { view, since } = listed.get(key) ?? { view: "HOLD", since: null };
      // BUY and BUY again is no change only when it is the same BUY; and what is older than the page is behind it.
      const shown = cell.dataset.since;
      if (cell.dataset.view === view && !isBefore(shown, since)) continue;
      if (isBefore(since, shown)) continue;
      this.#put(cell, viewBadge(view, this.#document), view, since);
      cell.classList.remove("just-changed");
    }
    for (const { since } of views) this.#tellNewest(since);
  }

  /** Tickers that fell silent or came back: their cells say so over their views, which stand. */
  stale(news) {
    if (this.#held !== null) {
      this.#held.stale.push(news);
      return;
    }
    const silences = new Silences();
    silences.tell(news);
    for (const cell of this.#cells.values()) {
      const since = silences.of(cell.dataset);
      if (since !== undefined) showStale(cell, since, this.#document);
    }
  }

  /** Views that turned at one close: each is shown as a transition with the time of the candle. */
  change({ close_time: closeTime, changes, late = false }) {
    if (this.#held !== null) {
      for (const change of changes) this.#hold(change, closeTime);
      return;
    }
    // What was decided long after its close is so, but no news: nobody is alerted of it either.
    if (late) {
      for (const change of changes) this.#settle(change, closeTime);
      this.#tellNewest(closeTime);
      return;
    }
    this.#show(changes, closeTime);
    this.#sayChanged(changes.length);
  }

  #hold(change, closeTime) {
    const { changes } = this.#held;
    const key = keyOf(change);
    changes.delete(key); // the newest comes last
    changes.set(key, { change, closeTime });
  }

  #show(changes, closeTime) {
    for (const change of changes) {
      const cell = this.#cells.get(keyOf(change));
      if (cell && !isShown(cell.dataset, { to: change.to, closeTime })) this.#turn(cell, change, closeTime);
    }
    this.#tell(changes, closeTime);
    this.#tellNewest(closeTime);
  }

  #settle({ ticker, algorithm, to }, closeTime) {
    const cell = this.#cells.get(keyOf({ ticker, algorithm }));
    if (cell && !isShown(cell.dataset, { to, closeTime })) {
      this.#put(cell, viewBadge(to, this.#document), to, closeTime);
    }
  }

  #turn(cell, { from, to }, closeTime) {
    this.#put(cell, viewChange(from, to, this.#document), to, closeTime);
    cell.classList.remove("just-changed");
    void cell.offsetWidth; // the highlight starts anew
    cell.classList.add("just-changed");
  }

  #put(cell, badge, view, since) {
    cell.dataset.view = view;
    if (since === null) delete cell.dataset.since;
    else cell.dataset.since = since;
    cell.querySelector(".board__view").replaceChildren(badge);
    cell.querySelector(".board__since").replaceChildren(...(since === null ? [] : [this.#time(since)]));
  }

  #tellNewest(closeTime) {
    const place = this.#document.querySelector("[data-newest-change]");
    if (!place || isBefore(closeTime, place.querySelector("time")?.dateTime)) return;
    place.replaceChildren(this.#time(closeTime, "datetime"));
    place.closest("[hidden]")?.removeAttribute("hidden");
  }

  #tell(changes, closeTime) {
    const section = this.#document.querySelector("[data-latest]");
    const list = section?.querySelector("ol");
    if (!list || changes.length === 0) return;
    // Of a close with a thousand changes only the last few would stay: the others are not even made.
    for (const change of changes.slice(-CHANGES_SHOWN)) list.prepend(this.#item(change, closeTime));
    while (list.children.length > CHANGES_SHOWN) list.lastElementChild.remove();
    section.querySelector("[data-latest-none]")?.remove();
  }

  #item({ ticker, algorithm, from, to }, closeTime) {
    const item = this.#document.createElement("li");
    const link = this.#document.createElement("a");
    const path = ticker.split("/").map(encodeURIComponent).join("/");
    link.href = `/tickers/${path}?algorithm=${encodeURIComponent(algorithm)}`;
    link.textContent = ticker;
    const name = this.#document.createElement("span");
    name.className = "latest__algorithm";
    name.textContent = this.#nameOf(algorithm);
    item.append(link, viewChange(from, to, this.#document), name, this.#time(closeTime));
    return item;
  }

  #nameOf(algorithm) {
    const option = [...this.#document.querySelectorAll('select[name="algorithm"] option')].find(
      (each) => each.value === algorithm,
    );
    return option?.textContent ?? algorithm;
  }

  #sayChanged(count) {
    this.#unsaid += count;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#say(`${counted(this.#unsaid)}.`);
      this.#unsaid = 0;
    }, SAY_EVERY_MS);
  }

  #say(text) {
    if (this.#status) this.#status.textContent = text;
  }

  #time(moment, form = "short") {
    return candleTimeElement(moment, form, this.#document);
  }
}

/** The filter applies as soon as something is chosen; the button stays for the search and for keyboards. */
export function submitOnChoice(document) {
  const form = document.querySelector("[data-board-filter]");
  for (const select of form?.querySelectorAll("select") ?? []) {
    select.addEventListener("change", () => form.requestSubmit());
  }
}

function counted(count) {
  return count === 1 ? "1 view changed" : `${count} views changed`;
}

function keyOf({ algorithm, ticker }) {
  return `${algorithm} ${ticker}`;
}

if (globalThis.document?.querySelector("[data-board-filter]")) {
  new Board(document).listen();
  submitOnChoice(document);
}
