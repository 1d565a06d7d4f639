// The board: shows on the cells what the live channel tells, and what has just changed anywhere above them.
import { formatTime } from "@shared/times.js";
import { viewBadge, viewChange } from "@shared/views.js";

const CHANGES_SHOWN = 6;

/** Follows the live channel on a board that the server has rendered. */
export class Board {
  #document;
  #cells = new Map();

  constructor(document) {
    this.#document = document;
    for (const cell of document.querySelectorAll("[data-board] [data-algorithm]")) {
      this.#cells.set(keyOf(cell.dataset), cell);
    }
  }

  listen() {
    this.#document.addEventListener("live:snapshot", ({ detail }) => this.replaceAll(detail.views));
    this.#document.addEventListener("live:views_changed", ({ detail }) => this.change(detail));
  }

  /** A snapshot is the whole truth: a pair that it does not list is HOLD. */
  replaceAll(views) {
    const listed = new Map(views.map((view) => [keyOf(view), view]));
    for (const [key, cell] of this.#cells) {
      const { view, since } = listed.get(key) ?? { view: "HOLD", since: null };
      if (cell.dataset.view === view) continue;
      cell.dataset.view = view;
      cell.classList.remove("just-changed");
      cell.querySelector(".board__view").replaceChildren(viewBadge(view, this.#document));
      cell.querySelector(".board__since").replaceChildren(...(since === null ? [] : [this.#time(since)]));
    }
  }

  /** Views that turned at one close: each is shown as a transition with the time of the candle. */
  change({ close_time: closeTime, changes }) {
    for (const change of changes) {
      const cell = this.#cells.get(keyOf(change));
      if (cell) this.#turn(cell, change, closeTime);
    }
    this.#tell(changes, closeTime);
    const newest = this.#document.querySelector("[data-newest-close]");
    newest?.replaceChildren(this.#time(closeTime, "datetime"));
  }

  #turn(cell, { from, to }, closeTime) {
    cell.dataset.view = to;
    cell.querySelector(".board__view").replaceChildren(viewChange(from, to, this.#document));
    cell.querySelector(".board__since").replaceChildren(this.#time(closeTime));
    cell.classList.remove("just-changed");
    void cell.offsetWidth; // the highlight starts anew
    cell.classList.add("just-changed");
  }

  #tell(changes, closeTime) {
    const section = this.#document.querySelector("[data-latest]");
    const list = section?.querySelector("ol");
    if (!list) return;
    // Of a close with a thousand changes only the last few would stay: the others are not even made.
    for (const change of changes.slice(-CHANGES_SHOWN)) list.prepend(this.#item(change, closeTime));
    while (list.children.length > CHANGES_SHOWN) list.lastElementChild.remove();
    section.hidden = false;
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

  #time(moment, form = "short") {
    const element = this.#document.createElement("time");
    element.dateTime = moment;
    element.textContent = form === "short" ? shortTime(moment) : formatTime(moment, form);
    return element;
  }
}

/** "22 Nov 13:05", or "22 Nov 2026" at midnight, in UTC: as the server writes the cells that did not turn. */
export function shortTime(moment) {
  const [, day, month, year, clock] = new Date(moment).toUTCString().split(" ");
  const minute = clock.slice(0, 5);
  return minute === "00:00" ? `${day} ${month} ${year}` : `${day} ${month} ${minute}`;
}

/** The filter applies as soon as something is chosen; the button stays for the search and for keyboards. */
export function submitOnChoice(document) {
  const form = document.querySelector("[data-board-filter]");
  for (const select of form?.querySelectorAll("select") ?? []) {
    select.addEventListener("change", () => form.requestSubmit());
  }
}

function keyOf({ algorithm, ticker }) {
  return `${algorithm} ${ticker}`;
}

if (globalThis.document?.querySelector("[data-board-filter]")) {
  new Board(document).listen();
  submitOnChoice(document);
}
