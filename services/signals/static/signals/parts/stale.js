// STALE over a view that stands: since when no candle of a ticker and timeframe came.
import { candleTimeElement } from "@shared/times.js";
import { viewBadge } from "@shared/views.js";

/** What is known of silence: since when, by ticker and timeframe; null where candles come again. */
export class Silences {
  #since = new Map();

  /** A `stale` message tells of tickers that fell silent, or of some whose candles come again. */
  tell({ timeframe, as_of: since, tickers = [], recovered = [] }) {
    for (const { ticker } of tickers) this.#since.set(keyOf(ticker, timeframe), since);
    for (const ticker of recovered) this.#since.set(keyOf(ticker, timeframe), null);
  }

  /** What a snapshot lists is all that is STALE. */
  static ofSnapshot(stale = []) {
    const silences = new Silences();
    for (const { ticker, timeframe, since } of stale) silences.#since.set(keyOf(ticker, timeframe), since);
    return silences;
  }

  /** Since when a ticker is STALE; null when it is not, undefined when nothing was told of it. */
  of({ ticker, timeframe }) {
    return this.#since.get(keyOf(ticker, timeframe));
  }
}

/** Puts STALE on an element with its [data-stale-mark], or takes it off for null. */
export function showStale(element, since, document = globalThis.document) {
  if ((element.dataset.stale ?? null) === since) return;
  const mark = element.querySelector("[data-stale-mark]");
  if (since === null) delete element.dataset.stale;
  else element.dataset.stale = since;
  if (!mark) return;
  mark.hidden = since === null;
  const shown = since === null ? [] : [viewBadge("STALE", document), " ", candleTimeElement(since, "short", document)];
  mark.replaceChildren(...shown);
}

function keyOf(ticker, timeframe) {
  return `${timeframe} ${ticker}`;
}
