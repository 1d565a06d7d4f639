import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { curvesOf, drawCurves } from "../../services/signals/static/signals/algorithm.js";
import { percentText } from "../../services/signals/static/signals/chart/curves.js";
import { openPage } from "./support/page.mjs";

const POINTS = [
  [1577836800, 1, 1, 0],
  [1577923200, 1.25, 0.5, 0],
  [1578009600, 0.75, 2, 0.4],
];
const BODY = `
  <section data-backtest data-timeframe="1d">
    <div data-chart data-points="${JSON.stringify(POINTS)}"><p data-chart-state>Drawn by a script</p></div>
  </section>`;

let page;
afterEach(() => page?.close());

describe("the curves of an algorithm", () => {
  it("are percentages, drawdowns below zero", () => {
    const { equity, hold, drawdown } = curvesOf(POINTS);
    assert.deepEqual(equity.map(({ value }) => value), [0, 25, -25]);
    assert.deepEqual(hold.map(({ value }) => value), [0, -50, 100]);
    assert.deepEqual(drawdown.map(({ value }) => value), [0, 0, -40]);
    assert.ok(!Object.is(drawdown[0].value, -0));
    assert.deepEqual(equity.map(({ time }) => time), POINTS.map(([time]) => time));
  });

  it("are drawn from what the page holds, in place of its words", () => {
    page = openPage(BODY);
    const drawn = [];
    drawCurves(page.document, (element, options) => {
      drawn.push([element, options]);
      return { show: (curves) => drawn.push(curves) };
    });
    const [[element, options], curves] = drawn;
    assert.equal(element.querySelector("[data-chart-state]"), null);
    assert.deepEqual(options, { daily: true });
    assert.deepEqual(curves, curvesOf(POINTS));
  });

  it("are left alone on a page without them", () => {
    page = openPage("<p></p>");
    drawCurves(page.document, () => assert.fail("no chart is opened"));
  });

  it("have an axis in percent with a true minus", () => {
    assert.equal(percentText(-12.345), "−12.3 %");
    assert.equal(percentText(1234.5), "1235 %");
    assert.equal(percentText(0), "0.0 %");
  });
});
