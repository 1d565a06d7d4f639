import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { precisionOf } from "../../services/signals/static/signals/chart/precision.js";
import { AlertSwitch, TickerPage, chartCandles, markersOf } from "../../services/signals/static/signals/ticker.js";
import { openPage } from "./support/page.mjs";

const row = (time, from, to) => `<tr data-change data-time="${time}" data-from="${from}" data-to="${to}"></tr>`;

const bodyWith = (rows, state) => `
  <nav>
    <a data-tab="dip"><span class="algorithm-tab__view"><span class="view" data-view="HOLD">HOLD</span></span></a>
    <a data-tab="ride"><span class="algorithm-tab__view"><span class="view" data-view="BUY">BUY</span></span></a>
  </nav>
  <section data-ticker-page data-ticker="ETH/BTC" data-timeframe="1h" data-algorithm="dip">
    <p data-current-view>${state}</p>
    <div data-alert-switch hidden><button aria-pressed="false">Alert me</button><p role="status"></p></div>
    <div data-chart><p data-chart-state>Loading</p></div>
  </section>
  <section data-changes><table><tbody>${rows}</tbody></table></section>`;

const BEFORE = bodyWith(row("2026-11-22T11:00:00+00:00", "HOLD", "SELL"), "SELL since");
const AFTER = bodyWith(
  row("2026-11-22T12:00:00+00:00", "SELL", "BUY") + row("2026-11-22T11:00:00+00:00", "HOLD", "SELL"),
  "BUY since",
);
const CANDLES = [
  { time: "2026-11-22T11:00:00Z", open: 2, high: 3, low: 1, close: 2.5, volume: 7, late: false },
  { time: "2026-11-22T10:00:00Z", open: 1, high: 3, low: 1, close: 2, volume: 5, late: false },
];
const TEN = Date.parse("2026-11-22T10:00:00Z") / 1000;

let page;
let calls;
let answers;
const realFetch = globalThis.fetch;

beforeEach(() => {
  page = openPage(BEFORE, { url: "https://boritrader.test/tickers/ETH/BTC" });
  calls = [];
  answers = {};
  globalThis.fetch = async (url, { method = "GET", headers = {}, body } = {}) => {
    const { pathname, search } = new URL(url);
    calls.push({ method, path: pathname + search, headers, body: body && JSON.parse(body) });
    const answer = answers[`${method} ${pathname}`];
    if (answer === undefined) throw new TypeError("no connection");
    return answer instanceof Response ? answer.clone() : Response.json(answer);
  };
});
afterEach(() => {
  globalThis.fetch = realFetch;
  page.close();
});

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("the chart", () => {
  const chartOf = () => ({ shown: [], show(candles, changes) { this.shown.push({ candles, changes }); } });

  it("shows the candles oldest first, with each change on the candle that closed then", async () => {
    answers["GET /api/v1/candles"] = { items: CANDLES, next: null };
    const chart = chartOf();
    await new TickerPage(page.document, () => chart).draw();
    assert.equal(calls[0].path, "/api/v1/candles?ticker=ETH%2FBTC&timeframe=1h&limit=500");
    assert.deepEqual(chart.shown[0].candles.map(({ time }) => time), [TEN, TEN + 3600]);
    assert.deepEqual(chart.shown[0].changes, [{ time: TEN, view: "SELL" }]);
    assert.equal(page.document.querySelector("[data-chart-state]"), null);
  });

  it("says so when the candles can't be had", async () => {
    await new TickerPage(page.document, () => assert.fail("no chart without candles")).draw();
    assert.match(page.document.querySelector("[data-chart-state]").textContent, /could not reach.*table below/);
  });

  it("is renewed with table and state when the chosen algorithm turns, and only then", async () => {
    answers["GET /api/v1/candles"] = { items: CANDLES, next: null };
    answers["GET /tickers/ETH/BTC"] = new Response(`<!doctype html><body>${AFTER}</body>`);
    const chart = chartOf();
    const ticker = new TickerPage(page.document, () => chart);
    ticker.listen();
    const changes = (...list) => ({ timeframe: "1h", close_time: "2026-11-22T12:00:00Z", changes: list });
    page.tell("live:views_changed", changes({ ticker: "BTC", algorithm: "dip", from: "HOLD", to: "BUY", close: 1 }));
    page.tell("live:views_changed", changes({ ticker: "ETH/BTC", algorithm: "ride", from: "BUY", to: "SELL", close: 1 }));
    await settled();
    assert.equal(calls.length, 0);
    assert.match(page.document.querySelector('[data-tab="ride"]').textContent, /BUY to SELL/);

    page.tell("live:views_changed", changes({ ticker: "ETH/BTC", algorithm: "dip", from: "SELL", to: "BUY", close: 1 }));
    while (chart.shown.length === 0) await settled();
    assert.equal(calls[0].path, "/tickers/ETH/BTC?algorithm=dip");
    assert.match(page.document.querySelector("[data-current-view]").textContent, /BUY since/);
    assert.deepEqual(chart.shown[0].changes, [{ time: TEN, view: "SELL" }, { time: TEN + 3600, view: "BUY" }]);
  });

  it("keeps the page when a fresh copy can't be had", async () => {
    answers["GET /tickers/ETH/BTC"] = new Response("", { status: 503 });
    await new TickerPage(page.document, () => assert.fail()).refresh();
    assert.match(page.document.querySelector("[data-current-view]").textContent, /SELL since/);
  });

  it("takes a snapshot for the whole truth on the tabs", () => {
    const ticker = new TickerPage(page.document);
    ticker.replaceAll([{ ticker: "ETH/BTC", algorithm: "other", view: "BUY" }, { ticker: "X", algorithm: "dip", view: "SELL" }]);
    const tabs = [...page.document.querySelectorAll("[data-tab]")].map((tab) => tab.textContent.trim());
    assert.deepEqual(tabs, ["HOLD", "HOLD"]);
  });
});

describe("what the chart is given", () => {
  it("is in order of time", () => {
    assert.deepEqual(chartCandles(CANDLES).map(({ close }) => close), [2, 2.5]);
  });

  it("has markers at the open of the candle, by the timeframe", () => {
    const rows = [{ dataset: { time: "2026-11-22T00:00:00Z", to: "BUY" } }];
    assert.equal(markersOf(rows, "1d")[0].time, Date.parse("2026-11-21T00:00:00Z") / 1000);
  });

  it("has as many decimals as the prices", () => {
    assert.equal(precisionOf([{ close: 12 }]), 2);
    assert.equal(precisionOf([{ close: 0.01234 }, { close: 1.5 }]), 5);
    assert.equal(precisionOf([{ close: 1.5e-7 }]), 8);
  });
});

describe("the alert switch", () => {
  const root = () => page.document.querySelector("[data-alert-switch]");
  const button = () => root().querySelector("button");
  const alert = { id: "7", algorithm: "dip", ticker: "ETH/BTC", channels: ["mail"] };

  it("makes an alert on this pair, with the CSRF token", async () => {
    answers["GET /api/v1/alerts"] = { items: [{ ...alert, ticker: "BTC" }], next: null };
    answers["POST /api/v1/alerts"] = Response.json(alert, { status: 201 });
    await new AlertSwitch(page.document).start();
    assert.ok(!root().hidden);
    assert.equal(button().getAttribute("aria-pressed"), "false");
    button().click();
    while (button().disabled) await settled();
    const { body, headers } = calls.at(-1);
    assert.deepEqual(body, { algorithm: "dip", ticker: "ETH/BTC", channels: ["mail"] });
    assert.equal(headers["X-CSRFToken"], "token-1");
    assert.equal(button().getAttribute("aria-pressed"), "true");
  });

  it("deletes the alert that there is", async () => {
    answers["GET /api/v1/alerts"] = { items: [alert], next: null };
    answers["DELETE /api/v1/alerts/7"] = new Response(null, { status: 204 });
    const alertSwitch = new AlertSwitch(page.document);
    await alertSwitch.start();
    assert.equal(button().getAttribute("aria-pressed"), "true");
    await alertSwitch.toggle();
    assert.equal(button().getAttribute("aria-pressed"), "false");
  });

  it("offers none where an alert on all tickers covers it", async () => {
    answers["GET /api/v1/alerts"] = { items: [{ ...alert, ticker: null }], next: null };
    await new AlertSwitch(page.document).start();
    assert.ok(button().hidden);
    assert.match(root().querySelector("[role=status]").textContent, /all tickers/);
  });

  it("says why an alert was refused, and can be tried again", async () => {
    answers["GET /api/v1/alerts"] = { items: [], next: null };
    answers["POST /api/v1/alerts"] = new Response(JSON.stringify({ status: 403, detail: "Your plan includes 3 alerts." }), {
      status: 403,
      headers: { "Content-Type": "application/problem+json" },
    });
    const alertSwitch = new AlertSwitch(page.document);
    await alertSwitch.start();
    await alertSwitch.toggle();
    assert.equal(root().querySelector("[role=status]").textContent, "Your plan includes 3 alerts.");
    assert.equal(button().getAttribute("aria-pressed"), "false");
    assert.ok(!button().disabled);
  });

  it("stays hidden when alerts can't be reached", async () => {
    await new AlertSwitch(page.document).start();
    assert.ok(root().hidden);
  });
});
