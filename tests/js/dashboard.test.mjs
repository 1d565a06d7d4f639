import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { Board, submitOnChoice } from "../../services/signals/static/signals/dashboard.js";
import { openPage } from "./support/page.mjs";

const CLOSE = "2026-11-22T12:00:00Z";
const BEFORE = "2026-11-22T11:00:00+00:00";
const LATER = "2026-11-22T13:00:00Z";

const cell = (ticker, algorithm, view) => `
  <td class="board__cell" data-ticker="${ticker}" data-algorithm="${algorithm}" data-view="${view}"${view === "HOLD" ? "" : ` data-since="${BEFORE}"`}>
    <a class="board__view" href="/tickers/${ticker}?algorithm=${algorithm}"><span class="view" data-view="${view}">${view}</span></a>
    <span class="board__since"></span>
  </td>`;

const BODY = `
  <p>Last change at the close of <span data-newest-change><time datetime="${BEFORE}">11:00</time></span></p>
  <span data-live-as-of></span>
  <form data-board-filter>
    <select name="view"><option value="">Any view</option><option value="BUY">BUY</option></select>
    <select name="algorithm"><option value="">All</option><option value="dip">Catching the Bottom</option></select>
  </form>
  <section data-latest>
    <button data-board-pause hidden>Pause updates</button><p role="status" data-board-status></p>
    <ol></ol><p data-latest-none>Nothing since you opened this page.</p>
  </section>
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
    assert.ok(page.document.querySelector("[data-latest-none]"));
    for (let n = 0; n < 8; n += 1) turn(change(`FAR${n}`, "dip", "HOLD", "SELL"));
    assert.equal(page.document.querySelector("[data-latest-none]"), null);
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

  it("says at which close a view turned last, in UTC, and never an earlier one", () => {
    const newest = () => page.document.querySelector("[data-newest-change] time");
    turn(change("FAR", "dip", "HOLD", "BUY"));
    assert.equal(newest().dateTime, CLOSE);
    assert.equal(newest().textContent, "22 Nov 2026, 12:00 UTC");
    page.tell("live:views_changed", { close_time: BEFORE, changes: [change("FAR", "ride", "HOLD", "BUY")] });
    assert.equal(newest().dateTime, CLOSE);
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

  const snapshotOf = (view, since) =>
    page.tell("live:snapshot", {
      as_of: CLOSE,
      views: [{ algorithm: "ride", ticker: "BTC", timeframe: "1h", view, since, close: 2 }],
    });

  it("leaves alone what a snapshot confirms", () => {
    const before = at("BTC", "ride").querySelector(".view");
    snapshotOf("BUY", BEFORE);
    assert.equal(at("BTC", "ride").querySelector(".view"), before);
  });

  it("sees that a view went and came back while nobody told", () => {
    snapshotOf("BUY", CLOSE);
    assert.equal(at("BTC", "ride").querySelector("time").dateTime, CLOSE);
    assert.equal(at("BTC", "ride").dataset.view, "BUY");
    assert.equal(page.document.querySelector("[data-newest-change] time").dateTime, CLOSE);
  });

  it("never lays an older close over a newer one", () => {
    page.tell("live:views_changed", { close_time: LATER, changes: [change("BTC", "ride", "BUY", "SELL")] });
    turn(change("BTC", "ride", "SELL", "BUY"));
    snapshotOf("BUY", CLOSE);
    assert.equal(at("BTC", "ride").dataset.view, "SELL");
    assert.equal(at("BTC", "ride").querySelector("time").dateTime, LATER);
  });
});

describe("a board that is ahead of the live channel", () => {
  it("doesn't show as changed what it has shown from the start", () => {
    const page = openPage(BODY);
    new Board(page.document).listen();
    page.tell("live:views_changed", { close_time: BEFORE, changes: [change("BTC", "ride", "SELL", "BUY")] });
    assert.equal(page.document.querySelectorAll(".just-changed").length, 0);
    page.close();
  });
});

describe("the board for ears, and for who wants it to stand still", () => {
  let page;
  beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout"] });
    page = openPage(BODY);
    new Board(page.document).listen();
  });
  afterEach(() => {
    page.close();
    mock.timers.reset();
  });

  const status = () => page.document.querySelector("[data-board-status]").textContent;
  const button = () => page.document.querySelector("[data-board-pause]");
  const viewOf = (ticker, algorithm) => page.document.querySelector(`[data-ticker="${ticker}"][data-algorithm="${algorithm}"]`);
  const turn = (...changes) => page.tell("live:views_changed", { close_time: CLOSE, changes });

  it("says how much has changed, once in half a minute", () => {
    turn(change("BTC", "dip", "HOLD", "BUY"), change("FAR", "dip", "HOLD", "BUY"));
    turn(change("ETH/BTC", "ride", "HOLD", "SELL"));
    assert.equal(status(), "");
    mock.timers.tick(30_000);
    assert.equal(status(), "3 views changed.");
    turn(change("BTC", "dip", "BUY", "SELL"));
    mock.timers.tick(30_000);
    assert.equal(status(), "1 view changed.");
  });

  it("stands still while paused, and shows what came meanwhile when it goes on", () => {
    assert.equal(button().hidden, false);
    button().click();
    assert.equal(button().textContent, "Resume updates");
    assert.ok("livePaused" in page.document.body.dataset);
    const before = page.document.body.querySelector("table").innerHTML;
    turn(change("BTC", "dip", "HOLD", "BUY"));
    turn(change("BTC", "ride", "BUY", "SELL"));
    page.tell("live:views_changed", { close_time: LATER, changes: [change("BTC", "dip", "BUY", "SELL")] });
    mock.timers.tick(60_000);
    assert.equal(page.document.body.querySelector("table").innerHTML, before);
    assert.equal(page.document.querySelectorAll("[data-latest] li").length, 0);
    assert.equal(status(), "Updates are paused.");
    button().click();
    assert.equal(button().textContent, "Pause updates");
    assert.equal(status(), "2 views changed meanwhile.");
    assert.equal(viewOf("BTC", "dip").textContent.trim().replace(/\s+/g, " "), "BUY to SELL 22 Nov 13:00");
    assert.equal(viewOf("BTC", "ride").dataset.view, "SELL");
    assert.ok(!("livePaused" in page.document.body.dataset));
  });

  it("begins from the snapshot when one came while it was paused", () => {
    button().click();
    turn(change("BTC", "dip", "HOLD", "BUY"));
    page.tell("live:snapshot", { views: [{ algorithm: "ride", ticker: "ETH/BTC", view: "SELL", since: CLOSE }] });
    button().click();
    assert.equal(viewOf("BTC", "dip").dataset.view, "HOLD");
    assert.equal(viewOf("ETH/BTC", "ride").dataset.view, "SELL");
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
