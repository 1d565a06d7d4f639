// A view as the templates write it (components.html), for scripts that change the page.
import { isBefore } from "./times.js";

export const VIEWS = ["BUY", "SELL", "HOLD", "STALE"];

/** <span class="view view--buy" data-view="BUY">BUY</span> */
export function viewBadge(view, document = globalThis.document) {
  if (!VIEWS.includes(view)) throw new RangeError(`no view: ${view}`);
  const badge = document.createElement("span");
  badge.className = `view view--${view.toLowerCase()}`;
  badge.dataset.view = view;
  badge.textContent = view;
  return badge;
}

/** HOLD → BUY: both views and an arrow between them. */
export function viewChange(from, to, document = globalThis.document) {
  const change = document.createElement("span");
  change.className = "view-change";
  const arrow = document.createElement("span");
  arrow.className = "view-change__arrow";
  arrow.setAttribute("aria-hidden", "true");
  const spoken = document.createElement("span");
  spoken.className = "visually-hidden";
  spoken.textContent = " to ";
  change.append(viewBadge(from, document), arrow, spoken, viewBadge(to, document));
  return change;
}

/** Whether what came over the live channel is no news: the page shows this view since then, or one of a later close. */
export function isShown({ view, since }, { to, closeTime }) {
  return isBefore(closeTime, since) || (view === to && Date.parse(closeTime) === Date.parse(since));
}
