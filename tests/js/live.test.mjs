import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { LiveChannel, openLiveChannel } from "@shared/live.js";
import { formatTime } from "@shared/times.js";
import { liveServer } from "./support/live_server.mjs";
import { openPage } from "./support/page.mjs";

const TIME = "2026-11-22T12:00:00Z";
const changed = (n) => ({ n, type: "views_changed", time: TIME, data: { timeframe: "1d", changes: [{ ticker: `T${n}` }] } });
const snapshot = (n) => ({ n, type: "snapshot", time: TIME, data: { views: [], as_of: TIME } });
const beat = (n) => ({ n, type: "heartbeat", time: TIME, data: {} });

describe("the live channel", () => {
  let page;
  let server;
  let channel;

  beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout"] });
    page = openPage();
    server = liveServer();
    channel = new LiveChannel("wss://boritrader.test/ws/notifications", {
      target: page.document,
      Socket: server.Socket,
      random: () => 1,
    });
  });

  afterEach(() => {
    channel.stop();
    page.close();
    mock.timers.reset();
  });

  const reconnect = () => {
    mock.timers.tick(30_000);
    server.accept();
  };

  it("asks for a snapshot first and tells the page what the server says", () => {
    const snapshots = page.listen("live:snapshot");
    const changes = page.listen("live:views_changed");
    channel.start();
    server.accept();
    server.send(snapshot(7));
    server.send(changed(8));
    assert.equal(server.socket().url.searchParams.has("since"), false);
    assert.deepEqual(snapshots, [{ views: [], as_of: TIME }]);
    assert.deepEqual(changes, [{ timeframe: "1d", changes: [{ ticker: "T8" }] }]);
  });

  it("resumes after the last number that it saw", () => {
    channel.start();
    server.accept();
    server.send(snapshot(7));
    server.send(changed(9));
    server.hangUp();
    reconnect();
    assert.equal(server.connections, 2);
    assert.equal(server.socket().url.searchParams.get("since"), "9");
  });

  it("counts a heartbeat's number, which covers messages of other people", () => {
    channel.start();
    server.accept();
    server.send(snapshot(7));
    server.send(beat(40));
    server.hangUp();
    reconnect();
    assert.equal(server.socket().url.searchParams.get("since"), "40");
  });

  it("shows no message twice, whatever is sent again after a reconnect", () => {
    const changes = page.listen("live:views_changed");
    channel.start();
    server.accept();
    server.send(snapshot(7));
    for (const n of [8, 9]) server.send(changed(n));
    server.hangUp();
    reconnect();
    for (const n of [8, 9, 10]) server.send(changed(n));
    assert.deepEqual(changes.map(({ changes: [{ ticker }] }) => ticker), ["T8", "T9", "T10"]);
  });

  it("hears nothing more from a connection that it gave up", () => {
    const changes = page.listen("live:views_changed");
    channel.start();
    server.accept();
    server.send(snapshot(1));
    mock.timers.tick(50_000); // silence
    const old = server.socket(0);
    server.send(changed(2), old);
    server.hangUp(1006, old);
    assert.equal(old.closed, true);
    assert.deepEqual(changes, []);
    assert.equal(server.connections, 1);
  });

  it("takes a snapshot as the new truth, even with a smaller number", () => {
    const changes = page.listen("live:views_changed");
    channel.start();
    server.accept();
    server.send(snapshot(900));
    server.send(snapshot(3));
    server.send(changed(4));
    assert.equal(changes.length, 1);
  });

  it("survives what is no message", () => {
    const heard = page.listen("live:views_changed");
    channel.start();
    server.accept();
    server.send(snapshot(1));
    for (const bad of ["", "{", "null", "[]", '{"n":"2"}', '{"n":1.5,"type":"views_changed"}']) server.send(bad);
    server.send({ n: 2, type: "something_new", time: TIME, data: {} });
    server.send(changed(3));
    assert.equal(heard.length, 1);
    assert.equal(channel.last, 3);
  });

  it("waits longer after each failure, at most half a minute, and anew after a good connection", () => {
    channel.start();
    const waits = [];
    for (let failure = 0; failure < 7; failure += 1) {
      server.hangUp();
      const before = server.connections;
      let waited = 0;
      while (server.connections === before) {
        mock.timers.tick(500);
        waited += 500;
      }
      waits.push(waited);
    }
    assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    server.accept();
    server.send(snapshot(1));
    server.hangUp();
    const before = server.connections;
    mock.timers.tick(1_000);
    assert.equal(server.connections, before + 1);
  });

  it("spreads the waits, so that not everybody comes back at once", () => {
    const hasty = new LiveChannel("wss://boritrader.test/ws", { target: page.document, Socket: server.Socket, random: () => 0 });
    hasty.start();
    server.hangUp();
    mock.timers.tick(499);
    assert.equal(server.connections, 1);
    mock.timers.tick(1);
    assert.equal(server.connections, 2);
    hasty.stop();
  });

  it("gives up a connection that is silent for 50 seconds, or never opens", () => {
    channel.start();
    mock.timers.tick(10_000);
    assert.equal(server.socket(0).closed, true);
    mock.timers.tick(1_000);
    assert.equal(server.connections, 2);
    server.accept();
    mock.timers.tick(49_000);
    server.send(beat(1));
    mock.timers.tick(49_000);
    assert.equal(server.socket().closed, false);
    mock.timers.tick(1_000);
    assert.equal(server.socket(1).closed, true);
  });

  for (const code of [4401, 1008]) {
    it(`does not come back when it was refused with ${code}`, () => {
      const states = page.listen("live:state");
      channel.start();
      server.accept();
      server.hangUp(code);
      mock.timers.tick(120_000);
      channel.retryNow();
      assert.equal(server.connections, 1);
      assert.deepEqual(states.at(-1), { state: "signed-out" });
    });

    it(`shows who it is again when it was let in and then closed with ${code}`, () => {
      const states = page.listen("live:state");
      channel.start();
      server.accept();
      server.send(snapshot(7));
      server.hangUp(code);
      assert.deepEqual(states.at(-1), { state: "reconnecting" });
      mock.timers.tick(1_000);
      assert.equal(server.connections, 2);
      assert.equal(server.socket().url.searchParams.get("since"), "7");
      server.accept();
      server.hangUp(code); // logged out: this time nobody is let in
      mock.timers.tick(120_000);
      assert.equal(server.connections, 2);
      assert.deepEqual(states.at(-1), { state: "signed-out" });
    });
  }

  it("says how it stands", () => {
    const states = page.listen("live:state");
    channel.start();
    server.accept();
    server.send(snapshot(1));
    server.send(changed(2));
    server.hangUp();
    reconnect();
    server.send(beat(2));
    channel.networkLost();
    assert.deepEqual(states.map(({ state }) => state), ["connecting", "live", "reconnecting", "live", "offline"]);
  });

  it("tries at once when the network is back", () => {
    channel.start();
    channel.networkLost();
    mock.timers.tick(120_000);
    assert.equal(server.connections, 1);
    channel.retryNow();
    assert.equal(server.connections, 2);
    channel.retryNow();
    assert.equal(server.connections, 2);
  });

  it("stays stopped", () => {
    channel.start();
    server.accept();
    channel.stop();
    server.hangUp(1006, server.socket(0));
    mock.timers.tick(120_000);
    assert.equal(server.connections, 1);
    assert.equal(server.socket(0).closed, true);
  });
});

describe("the live channel of a page", () => {
  let page;
  let server;
  let channel;

  beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout"] });
    page = openPage(
      `<p data-live-state="connecting" hidden><span data-live-text></span></p><time data-live-as-of datetime="">never</time>`,
    );
    server = liveServer();
    channel = openLiveChannel("/ws/notifications", { window: page.window, Socket: server.Socket });
  });

  afterEach(() => {
    channel.stop();
    page.close();
    mock.timers.reset();
  });

  it("is of the page's own host and as safe as the page", () => {
    assert.equal(server.socket().url.href, "wss://boritrader.test/ws/notifications");
  });

  it("shows its state in words", () => {
    const indicator = page.document.querySelector("[data-live-state]");
    assert.equal(indicator.hidden, false);
    assert.equal(indicator.textContent, "Connecting");
    server.accept();
    server.send(snapshot(1));
    assert.equal(indicator.dataset.liveState, "live");
    assert.equal(indicator.textContent, "Live");
    server.hangUp();
    assert.equal(indicator.textContent, "Reconnecting");
  });

  it("says how current the page is", () => {
    server.accept();
    server.send(beat(1));
    const time = page.document.querySelector("[data-live-as-of]");
    assert.equal(time.getAttribute("datetime"), TIME);
    assert.equal(time.textContent, formatTime(TIME, "time"));
  });

  it("does not say that a paused page is current", () => {
    server.accept();
    page.document.body.dataset.livePaused = "";
    server.send(beat(1));
    assert.equal(page.document.querySelector("[data-live-as-of]").textContent, "never");
  });

  it("leaves a connection that is being made to the end of the page, and closes it if it opens after all", () => {
    page.window.dispatchEvent(new page.window.Event("pagehide"));
    assert.equal(server.socket().closed, false);
    mock.timers.tick(120_000);
    assert.equal(server.connections, 1);
    server.accept();
    assert.equal(server.socket().closed, true);
  });

  it("holds no socket in the back-forward cache and catches up after it", () => {
    server.accept();
    server.send(snapshot(5));
    page.window.dispatchEvent(new page.window.Event("pagehide"));
    assert.equal(server.socket(0).closed, true);
    page.window.dispatchEvent(Object.assign(new page.window.Event("pageshow"), { persisted: true }));
    assert.equal(server.socket(1).url.searchParams.get("since"), "5");
  });
});
