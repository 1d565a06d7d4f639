import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { precisionOf, priceText } from "../../services/signals/static/signals/chart/precision.js";
import { AlertSwitch } from "../../services/signals/static/signals/ticker/alert_switch.js";
import { TickerPage, chartCandles, markersOf } from "../../services/signals/static/signals/ticker.js";
import { openPage } from "./support/page.mjs";

const row = (time, from, to) => `<tr data-change data-time="${time}" data-from="${from}" data-to="${to}"></tr>`;

const tab = (algorithm, view, since) => `
  <a data-tab="${algorithm}" data-view="${view}" data-since="${since}">
    <span class="algorithm-tab__view"><span class="view" data-view="${view}">${view}</span></span>
  </a>`;

const bodyWith = (rows, state, dip = tab("dip", "SELL", "2026-11-22T11:00:00+00:00")) => `
  <dl><dd data-last-close>2</dd><dd data-last-time></dd></dl>
  <nav>${dip}${tab("ride", "BUY", "2026-11-22T11:00:00+00:00")}</nav>
  <p><time data-confirmed-as-of></time></p>
  <section data-ticker-page data-ticker="ETH/BTC" data-timeframe="1h" data-algorithm="dip">
    <p data-current-view>${state}</p>
    <div data-alert-switch hidden><button>Alert me</button><p role="status"></p></div>
    <div data-chart><p data-chart-state>Loading</p></div>
  </section>
  <section data-changes><table><tbody>${rows}</tbody></table></section>`;

const BEFORE = bodyWith(row("2026-11-22T11:00:00+00:00", "HOLD", "SELL"), "SELL since");
const AFTER = bodyWith(
  row("2026-11-22T12:00:00+00:00", "SELL", "BUY") + row("2026-11-22T11:00:00+00:00", "HOLD", "SELL"),
  "BUY since",
  tab("dip", "BUY", "2026-11-22T12:00:00+00:00"),
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

  it("says so when no candle is kept", async () => {
    answers["GET /api/v1/candles"] = { items: [], next: null };
    await new TickerPage(page.document, () => assert.fail("no chart without candles")).draw();
    assert.match(page.document.querySelector("[data-chart-state]").textContent, /no longer kept/);
  });

  it("says so when the candles can't be had", async () => {
    await new TickerPage(page.document, () => assert.fail("no chart without candles")).draw();
    assert.match(page.document.querySelector("[data-chart-state]").textContent, /could not reach.*cards below/);
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

describe("a page that stays open", () => {
  const NEXT = { time: "2026-11-22T12:00:00Z", open: 2.5, high: 4, low: 2, close: 12345.5, volume: 9, late: false };
  const text = (selector) => page.document.querySelector(selector).textContent;
  const asOf = () => page.document.querySelector("[data-confirmed-as-of]").dateTime;
  let chart;
  let ticker;

  beforeEach(async () => {
    chart = { shown: [], show(candles) { this.shown.push(candles); } };
    ticker = new TickerPage(page.document, () => chart);
    ticker.listen();
    page.tell("live:state", { state: "live" });
    answers["GET /api/v1/candles"] = { items: CANDLES, next: null };
    await ticker.draw();
  });

  it("shows each new candle: in the chart, as the last close, and in its time", async () => {
    answers["GET /api/v1/candles"] = { items: [NEXT, ...CANDLES], next: null };
    await ticker.confirm();
    assert.equal(calls.at(-1).path, "/api/v1/candles?ticker=ETH%2FBTC&timeframe=1h&limit=20");
    assert.deepEqual(chart.shown.at(-1).map(({ time }) => time), [TEN, TEN + 3600, TEN + 7200]);
    assert.equal(text("[data-last-close]"), "12,345.5");
    assert.equal(text("[data-last-time]"), "22 Nov 2026, 12:00 UTC");
  });

  it("says since when it is current, and only what was confirmed", async () => {
    const before = asOf();
    assert.notEqual(before, "");
    delete answers["GET /api/v1/candles"];
    await new Promise((resolve) => setTimeout(resolve, 2));
    await ticker.confirm();
    page.tell("live:time", { time: "2027-01-01T00:00:00Z" });
    assert.equal(asOf(), before);
    answers["GET /api/v1/candles"] = { items: CANDLES, next: null };
    await ticker.confirm();
    assert.ok(asOf() > before);
    assert.equal(chart.shown.length, 1, "the same candles are not drawn again");
  });

  it("fetches all candles after a gap that the newest ones don't bridge", async () => {
    answers["GET /api/v1/candles"] = { items: [{ ...NEXT, time: "2026-11-23T12:00:00Z" }], next: null };
    await ticker.confirm();
    assert.match(calls.at(-1).path, /limit=500/);
  });

  it("looks for turned views itself while the live channel is away", async () => {
    page.tell("live:state", { state: "reconnecting" });
    answers["GET /api/v1/candles"] = { items: [NEXT, ...CANDLES], next: null };
    answers["GET /tickers/ETH/BTC"] = new Response(`<!doctype html><body>${AFTER}</body>`);
    await ticker.confirm();
    assert.match(text("[data-current-view]"), /BUY since/);
    assert.match(text('[data-tab="dip"]'), /BUY/);
    assert.equal(text("[data-last-close]"), "12,345.5");
  });

  it("asks every five seconds, but not while nobody looks", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    let visibility = "visible";
    Object.defineProperty(page.document, "visibilityState", { get: () => visibility });
    const show = (state) => {
      visibility = state;
      page.document.dispatchEvent(new page.window.Event("visibilitychange"));
    };
    const pass = async () => {
      mock.timers.tick(5_000);
      for (let n = 0; n < 5; n += 1) await settled();
      return calls.length;
    };
    try {
      ticker.watch();
      assert.deepEqual([await pass(), await pass()], [2, 3]);
      show("hidden");
      assert.deepEqual([await pass(), await pass()], [3, 3]);
      show("visible");
      await settled();
      assert.equal(calls.length, 4, "at once when somebody looks again");
    } finally {
      mock.timers.reset();
    }
  });

  it("is renewed when a snapshot has the view since another close", async () => {
    answers["GET /tickers/ETH/BTC"] = new Response(`<!doctype html><body>${AFTER}</body>`);
    const snapshot = (since) =>
      ticker.replaceAll([
        { ticker: "ETH/BTC", algorithm: "dip", view: "SELL", since },
        { ticker: "ETH/BTC", algorithm: "ride", view: "BUY", since: "2026-11-22T11:00:00Z" },
      ]);
    snapshot("2026-11-22T11:00:00Z");
    snapshot("2026-11-22T10:00:00Z");
    await settled();
    assert.equal(calls.length, 1, "the same view, or an older one, is no news");
    snapshot("2026-11-22T12:00:00Z");
    while (chart.shown.length < 2) await settled();
    assert.match(text("[data-current-view]"), /BUY since/);
  });

  it("never lays an older change over a newer one", () => {
    const change = { ticker: "ETH/BTC", algorithm: "ride", from: "SELL", to: "SELL", close: 1 };
    page.tell("live:views_changed", { close_time: "2026-11-22T10:00:00Z", changes: [change] });
    assert.match(text('[data-tab="ride"]'), /BUY/);
  });

  it("asks for one fresh copy however many changes come at once", async () => {
    answers["GET /tickers/ETH/BTC"] = new Response(`<!doctype html><body>${AFTER}</body>`);
    await Promise.all([ticker.refresh(), ticker.refresh(), ticker.refresh()]);
    assert.equal(calls.filter(({ path }) => path.startsWith("/tickers/")).length, 1);
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

describe("a price in words", () => {
  it("is as the server writes it: all digits, in groups, no power of ten", () => {
    assert.deepEqual(
      [64500, 1234.5, 0.00001234, 1e-9, 0.1 + 0.2, 1e21, 249.74].map(priceText),
      ["64,500", "1,234.5", "0.00001234", "0.000000001", "0.30000000000000004", "1,000,000,000,000,000,000,000", "249.74"],
    );
  });
});

describe("the alert switch", () => {
  const root = () => page.document.querySelector("[data-alert-switch]");
  const button = () => root().querySelector("button");
  const note = () => root().querySelector("[role=status]").textContent;
  const alert = { id: "7", algorithm: "dip", ticker: "ETH/BTC", channels: ["mail"] };

  it("makes an alert on this pair, with the CSRF token", async () => {
    answers["GET /api/v1/alerts"] = { items: [{ ...alert, ticker: "BTC" }], next: null };
    answers["POST /api/v1/alerts"] = Response.json(alert, { status: 201 });
    await new AlertSwitch(page.document).start();
    assert.ok(!root().hidden);
    assert.equal(button().textContent, "Alert me");
    button().click();
    while (button().disabled) await settled();
    const { body, headers } = calls.at(-1);
    assert.deepEqual(body, { algorithm: "dip", ticker: "ETH/BTC", channels: ["mail"] });
    assert.equal(headers["X-CSRFToken"], "token-1");
    assert.equal(button().textContent, "Stop the alert");
  });

  it("deletes the alert that there is", async () => {
    answers["GET /api/v1/alerts"] = { items: [alert], next: null };
    answers["DELETE /api/v1/alerts/7"] = new Response(null, { status: 204 });
    const alertSwitch = new AlertSwitch(page.document);
    await alertSwitch.start();
    assert.equal(button().textContent, "Stop the alert");
    await alertSwitch.toggle();
    assert.equal(button().textContent, "Alert me");
  });

  it("offers none where an alert on all tickers covers it", async () => {
    answers["GET /api/v1/alerts"] = { items: [{ ...alert, ticker: null }], next: null };
    await new AlertSwitch(page.document).start();
    assert.ok(button().hidden);
    assert.match(root().querySelector("[role=status]").textContent, /all tickers/);
  });

  it("says that mail is off after an unsubscription, and switches it on again", async () => {
    answers["GET /api/v1/alerts"] = { items: [{ ...alert, channels: ["webhook"] }], next: null };
    answers["POST /api/v1/alerts"] = { ...alert, channels: ["webhook", "mail"] };
    const alertSwitch = new AlertSwitch(page.document);
    await alertSwitch.start();
    assert.equal(button().textContent, "Alert me");
    assert.equal(note(), "Mail is off for your alert on this.");
    await alertSwitch.toggle();
    assert.deepEqual(calls.at(-1).body, { algorithm: "dip", ticker: "ETH/BTC", channels: ["webhook", "mail"] });
    assert.equal(button().textContent, "Stop the alert");
    assert.match(note(), /get a mail/);
  });

  it("is not covered by an alert on all tickers that sends no mail", async () => {
    answers["GET /api/v1/alerts"] = { items: [{ ...alert, ticker: null, channels: [] }], next: null };
    await new AlertSwitch(page.document).start();
    assert.ok(!button().hidden);
    assert.match(note(), /Mail is off for your alert on all tickers/);
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
    assert.equal(button().textContent, "Alert me");
    assert.ok(!button().disabled);
  });

  it("stays hidden when alerts can't be reached", async () => {
    await new AlertSwitch(page.document).start();
    assert.ok(root().hidden);
  });
});
