import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Board } from "../../services/signals/static/signals/dashboard.js";
import { TickerPage } from "../../services/signals/static/signals/ticker.js";
import { openPage } from "./support/page.mjs";

const BEFORE = "2026-11-22T11:00:00+00:00";
const SILENT = "2026-11-22T14:00:00Z";

const fell = (timeframe, ...names) => ({
  timeframe,
  as_of: SILENT,
  tickers: names.map((ticker) => ({ ticker, last_close: BEFORE })),
});
const back = (timeframe, ...recovered) => ({ timeframe, close_time: "2026-11-22T15:00:00Z", recovered });

const cell = (ticker, algorithm, timeframe, view) => `
  <td data-ticker="${ticker}" data-algorithm="${algorithm}" data-view="${view}" data-since="${BEFORE}" data-timeframe="${timeframe}">
    <a class="board__view" href="/"><span class="view" data-view="${view}">${view}</span></a>
    <span class="board__since"></span><span data-stale-mark hidden></span>
  </td>`;

const BOARD = `
  <section data-latest><button data-board-pause hidden></button><ol></ol></section>
  <table data-board><tbody><tr>${cell("BTC", "dip", "1h", "BUY")}${cell("BTC", "ride", "4h", "SELL")}
  ${cell("ETH/BTC", "dip", "1h", "SELL")}</tr></tbody></table>`;

describe("a board on which tickers fall silent", () => {
  let page;
  beforeEach(() => {
    page = openPage(BOARD);
    new Board(page.document).listen();
  });
  afterEach(() => page.close());

  const cells = () => [...page.document.querySelectorAll("td")];
  const stale = () => cells().map(({ dataset }) => dataset.stale ?? null);
  const marks = () => [...page.document.querySelectorAll("[data-stale-mark]")].map((each) => each.textContent);

  it("shows STALE since when over the view, which stands, in the timeframe that fell silent alone", () => {
    page.tell("live:stale", fell("1h", "BTC", "FAR"));
    assert.deepEqual(stale(), [SILENT, null, null]);
    assert.deepEqual(marks(), ["STALE 22 Nov 14:00", "", ""]);
    assert.deepEqual(cells().map(({ dataset }) => dataset.view), ["BUY", "SELL", "SELL"]);
    assert.equal(cells()[0].querySelector(".board__view").textContent, "BUY");
    assert.equal(page.document.querySelectorAll("[data-latest] li").length, 0);
  });

  it("takes STALE off when candles come again", () => {
    page.tell("live:stale", fell("1h", "BTC", "ETH/BTC"));
    page.tell("live:stale", back("1h", "BTC"));
    assert.deepEqual(stale(), [null, null, SILENT]);
    assert.equal(cells()[0].querySelector("[data-stale-mark]").hidden, true);
    assert.equal(cells()[2].querySelector("[data-stale-mark]").hidden, false);
  });

  it("takes a snapshot for the whole truth: what it does not list is not STALE", () => {
    page.tell("live:stale", fell("1h", "BTC"));
    const views = [{ ticker: "BTC", algorithm: "dip", view: "BUY", since: BEFORE }];
    page.tell("live:snapshot", { views, stale: [{ ticker: "ETH/BTC", timeframe: "1h", since: SILENT, last_close: BEFORE }] });
    assert.deepEqual(stale(), [null, null, SILENT]);
  });

  it("keeps STALE when a view turns all the same", () => {
    page.tell("live:stale", fell("1h", "BTC"));
    const change = { ticker: "BTC", algorithm: "dip", from: "BUY", to: "SELL" };
    page.tell("live:views_changed", { close_time: SILENT, changes: [change] });
    assert.equal(cells()[0].dataset.view, "SELL");
    assert.deepEqual(stale(), [SILENT, null, null]);
  });

  it("shows what fell silent while paused when it goes on, in its order", () => {
    const button = page.document.querySelector("[data-board-pause]");
    button.click();
    page.tell("live:stale", fell("1h", "BTC", "ETH/BTC"));
    page.tell("live:stale", back("1h", "BTC"));
    assert.deepEqual(stale(), [null, null, null]);
    button.click();
    assert.deepEqual(stale(), [null, null, SILENT]);
  });

  it("moves to what was decided late without calling it news", () => {
    const change = { ticker: "BTC", algorithm: "dip", from: "BUY", to: "SELL" };
    page.tell("live:views_changed", { close_time: SILENT, late: true, changes: [change] });
    assert.equal(cells()[0].dataset.view, "SELL");
    assert.equal(cells()[0].querySelector(".board__view").textContent, "SELL");
    assert.equal(page.document.querySelectorAll(".just-changed, [data-latest] li").length, 0);
  });
});

const tab = (algorithm, timeframe) => `
  <a data-tab="${algorithm}" data-view="BUY" data-since="${BEFORE}" data-timeframe="${timeframe}">
    <span class="algorithm-tab__view">BUY</span><span data-stale-mark hidden></span>
  </a>`;

const TICKER = `
  <nav>${tab("dip", "1h")}${tab("ride", "4h")}</nav>
  <section data-ticker-page data-ticker="ETH/BTC" data-timeframe="1h" data-algorithm="dip">
    <p data-current-view>BUY</p>
    <p data-stale-note hidden>STALE since <span data-stale-since></span></p>
  </section>`;

describe("the page of a ticker that falls silent", () => {
  let page;
  beforeEach(() => {
    page = openPage(TICKER, { url: "https://boritrader.test/tickers/ETH/BTC" });
    new TickerPage(page.document, () => assert.fail("no chart")).listen();
  });
  afterEach(() => page.close());

  const note = () => page.document.querySelector("[data-stale-note]");
  const tabs = () => [...page.document.querySelectorAll("[data-tab]")].map(({ dataset }) => dataset.stale ?? null);

  it("says so on the tabs of the timeframe and beside the view, and takes it back", () => {
    page.tell("live:stale", fell("1h", "ETH/BTC"));
    assert.deepEqual(tabs(), [SILENT, null]);
    assert.equal(note().hidden, false);
    assert.equal(note().textContent, "STALE since 22 Nov 2026, 14:00 UTC");
    page.tell("live:stale", back("1h", "ETH/BTC"));
    assert.deepEqual(tabs(), [null, null]);
    assert.equal(note().hidden, true);
  });

  it("leaves alone what is told of others", () => {
    page.tell("live:stale", fell("1h", "BTC"));
    page.tell("live:stale", fell("4h", "ETH/BTC"));
    assert.deepEqual(tabs(), [null, SILENT]);
    assert.equal(note().hidden, true);
  });

  it("believes a snapshot", () => {
    page.tell("live:stale", fell("1h", "ETH/BTC"));
    page.tell("live:snapshot", { views: [
      { ticker: "ETH/BTC", algorithm: "dip", view: "BUY", since: BEFORE },
      { ticker: "ETH/BTC", algorithm: "ride", view: "BUY", since: BEFORE },
    ], stale: [] });
    assert.deepEqual(tabs(), [null, null]);
    assert.equal(note().hidden, true);
  });
});
