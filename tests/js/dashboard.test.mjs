import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Board, shortTime, submitOnChoice } from "../../services/signals/static/signals/dashboard.js";
import { openPage } from "./support/page.mjs";

const CLOSE = "2026-11-22T12:00:00Z";

const cell = (ticker, algorithm, view) => `
  <td class="board__cell" data-ticker="${ticker}" data-algorithm="${algorithm}" data-view="${view}">
    <a class="board__view" href="/tickers/${ticker}?algorithm=${algorithm}"><span class="view" data-view="${view}">${view}</span></a>
    <span class="board__since"></span>
  </td>`;

const BODY = `
  <span data-newest-close><time datetime="2026-11-22T11:00:00Z">11:00</time></span>
  <form data-board-filter>
    <select name="view"><option value="">Any view</option><option value="BUY">BUY</option></select>
    <select name="algorithm"><option value="">All</option><option value="dip">Catching the Bottom</option></select>
  </form>
  <section data-latest hidden><ol></ol></section>
  <table data-board><tbody>
    <tr>${cell("BTC", "dip", "HOLD")}${cell("BTC", "ride", "BUY")}</tr>
    <tr>${cell("ETH/BTC", "dip", "SELL")}${cell("ETH/BTC", "ride", "HOLD")}</tr>
  </tbody></table>`;

const change = (ticker, algorithm, from, to) => ({ ticker, algorithm, from, to, close: 1 });

describe("the board", () => {
  let page;
  beforeEach(() => {
    page = openPage(BODY);
    new Board(page.document).listen();
  });
  afterEach(() => page.close());

  const at = (ticker, algorithm) =>
    page.document.querySelector(`td[data-ticker="${ticker}"][data-algorithm="${algorithm}"]`);
  const views = () => [...page.document.querySelectorAll("td")].map((each) => each.dataset.view);
  const latest = () => [...page.document.querySelectorAll("[data-latest] li")];
  const turn = (...changes) => page.tell("live:views_changed", { timeframe: "1h", close_time: CLOSE, changes });

  it("shows a change as a transition with the time of its candle, on its cell alone", () => {
    turn(change("BTC", "dip", "HOLD", "BUY"));
    const changed = at("BTC", "dip");
    assert.equal(changed.querySelector(".board__view").textContent, "HOLD to BUY");
    assert.equal(changed.querySelector("time").dateTime, CLOSE);
    assert.equal(changed.querySelector("time").textContent, "22 Nov 12:00");
    assert.ok(changed.classList.contains("just-changed"));
    assert.deepEqual(views(), ["BUY", "BUY", "SELL", "HOLD"]);
    assert.equal(page.document.querySelectorAll(".just-changed").length, 1);
  });

  it("keeps the link of a cell", () => {
    turn(change("BTC", "dip", "HOLD", "BUY"));
    assert.equal(at("BTC", "dip").querySelector("a").getAttribute("href"), "/tickers/BTC?algorithm=dip");
  });

  it("tells changes of tickers on other pages too, the newest first, and forgets the oldest", () => {
    assert.ok(page.document.querySelector("[data-latest]").hidden);
    for (let n = 0; n < 8; n += 1) turn(change(`FAR${n}`, "dip", "HOLD", "SELL"));
    assert.ok(!page.document.querySelector("[data-latest]").hidden);
    assert.deepEqual(
      latest().map((item) => item.querySelector("a").textContent),
      ["FAR7", "FAR6", "FAR5", "FAR4", "FAR3", "FAR2"],
    );
    assert.match(latest()[0].textContent, /HOLD to SELL.*Catching the Bottom/s);
    assert.deepEqual(views(), ["HOLD", "BUY", "SELL", "HOLD"]);
  });

  it("links a ticker with a slash, and takes no markup from outside", () => {
    turn(change("ETH/BTC", "dip", "SELL", "BUY"), change("<img src=x>", "<b>", "HOLD", "BUY"));
    const [strange, slash] = latest().map((item) => item.querySelector("a"));
    assert.equal(slash.getAttribute("href"), "/tickers/ETH/BTC?algorithm=dip");
    assert.equal(strange.textContent, "<img src=x>");
    assert.equal(page.document.querySelectorAll("img, b").length, 0);
  });

  it("says when the last candle closed", () => {
    turn(change("FAR", "dip", "HOLD", "BUY"));
    assert.equal(page.document.querySelector("[data-newest-close] time").dateTime, CLOSE);
  });

  it("takes a snapshot for the whole truth: what it does not list is HOLD", () => {
    turn(change("BTC", "dip", "HOLD", "BUY"));
    page.tell("live:snapshot", {
      as_of: CLOSE,
      views: [{ algorithm: "ride", ticker: "ETH/BTC", timeframe: "1h", view: "SELL", since: CLOSE, close: 2 }],
    });
    assert.deepEqual(views(), ["HOLD", "HOLD", "HOLD", "SELL"]);
    assert.equal(at("ETH/BTC", "ride").querySelector("time").dateTime, CLOSE);
    assert.equal(at("BTC", "ride").querySelector("time"), null);
    assert.equal(at("BTC", "dip").querySelector(".board__view").textContent, "HOLD");
  });

  it("leaves alone what a snapshot confirms", () => {
    const before = at("BTC", "ride").querySelector(".view");
    page.tell("live:snapshot", {
      as_of: CLOSE,
      views: [{ algorithm: "ride", ticker: "BTC", timeframe: "1h", view: "BUY", since: CLOSE, close: 2 }],
    });
    assert.equal(at("BTC", "ride").querySelector(".view"), before);
  });
});

describe("the time of a cell", () => {
  it("is as the server writes it: a minute, or the day of a daily candle, in UTC", () => {
    assert.equal(shortTime("2026-11-22T13:05:00Z"), "22 Nov 13:05");
    assert.equal(shortTime("2013-09-18T00:00:00Z"), "18 Sep 2013");
  });
});

describe("the filter", () => {
  it("applies as soon as something is chosen", () => {
    const page = openPage(BODY);
    let sent = 0;
    page.document.querySelector("form").requestSubmit = () => (sent += 1);
    submitOnChoice(page.document);
    page.document.querySelector("select").dispatchEvent(new page.window.Event("change"));
    assert.equal(sent, 1);
    page.close();
  });
});
