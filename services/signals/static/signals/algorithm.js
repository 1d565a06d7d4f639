// The page of an algorithm: what it made of a ticker, as curves. All figures are in the page as text too.
import { openCurves } from "./chart/curves.js";

/** The points of the page, rows of time, equity, holding and drawdown, as the chart takes them: in percent. */
export function curvesOf(points) {
  const line = (value) => points.map(([time, ...shares]) => ({ time, value: 100 * value(shares) }));
  return {
    equity: line(([equity]) => equity - 1),
    hold: line(([, hold]) => hold - 1),
    drawdown: line(([, , drawdown]) => (drawdown === 0 ? 0 : -drawdown)),
  };
}

/** Draws the curves into the card of the page; `openChart` makes the chart. */
export function drawCurves(document, openChart = openCurves) {
  const card = document.querySelector("[data-backtest]");
  if (!card) return;
  const place = card.querySelector("[data-chart]");
  const points = JSON.parse(place.dataset.points);
  place.querySelector("[data-chart-state]")?.remove();
  openChart(place, { daily: card.dataset.timeframe === "1d" }).show(curvesOf(points));
}

if (globalThis.document?.querySelector("[data-backtest]")) drawCurves(document);
