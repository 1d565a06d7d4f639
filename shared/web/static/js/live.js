// The live channel: one WebSocket per page, gap-proof.
//
// Every message carries a number `n`. The channel remembers the last one and asks for what came after it when it
// reconnects, so nothing is lost and nothing is shown twice. Scripts of pages don't touch the socket; they listen on
// `document`:
//
//   live:snapshot       {views: [{algorithm, ticker, timeframe, view, since, close}], stale: [{ticker, timeframe, since,
//                       last_close}], as_of}   a pair not listed is HOLD, a ticker not listed is not STALE
//   live:views_changed  {timeframe, close_time, late, changes: [{algorithm, ticker, from, to, close}]}
//   live:alert          one change and the names of the alerts that asked for it
//   live:stale          {timeframe, as_of, tickers: [{ticker, last_close}]} of tickers that fell silent, or
//                       {timeframe, close_time, recovered: [ticker]} of tickers whose candles come again
//   live:state          {state}: connecting, live, reconnecting, offline, signed-out
//   live:time           {time}: what the page shows is current as of this

import { formatTime } from "./times.js";

export const STATES = Object.freeze({
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  offline: "Offline",
  "signed-out": "Signed out",
});

const TYPES = new Set(["snapshot", "views_changed", "alert", "stale"]);
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;
// The server beats every 20 seconds; two missed beats and some air mean that the line is dead, whatever TCP thinks.
const SILENCE_MS = 50_000;
// Closed with one of these before its first message, a connection was refused: nobody is logged in. After it, the
// session may have ended or the connection is old: who comes back is asked anew who they are.
const REFUSAL_CODES = new Set([1008, 4401]);

export class LiveChannel {
  #url;
  #target;
  #Socket;
  #random;
  #socket = null;
  #timer = null;
  #state = null;
  #last = null;
  #failures = 0;
  #admitted = false;
  #running = false;

  /**
   * @param {string} url      ws:// or wss:// address of the channel
   * @param {object} options
   *   target  where events are dispatched (document)
   *   Socket  the WebSocket class
   *   random  a number in [0, 1), for the jitter of the waits
   */
  constructor(url, { target = document, Socket = globalThis.WebSocket, random = Math.random } = {}) {
    this.#url = url;
    this.#target = target;
    this.#Socket = Socket;
    this.#random = random;
  }

  /** The number of the last message, or null before the first. */
  get last() {
    return this.#last;
  }

  get state() {
    return this.#state;
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#setState("connecting");
    this.#connect();
  }

  stop() {
    this.#running = false;
    // The page goes away, and a connection that is still being made goes with it. Closing that one now would make the
    // browser complain of a failed connection; it is closed when it opens after all, on a page that is kept for later.
    const connecting = this.#socket?.readyState === 0 ? this.#socket : null;
    if (connecting !== null) {
      connecting.addEventListener("open", () => connecting.close());
      this.#socket = null;
    }
    this.#drop();
  }

  /** Don't wait any longer: the network is back, or somebody looks at the page again. */
  retryNow() {
    if (!this.#running || this.#socket !== null) return;
    this.#connect();
  }

  /** The network is gone; there is no use in trying until it is back. */
  networkLost() {
    if (!this.#running) return;
    this.#drop();
    this.#setState("offline");
  }

  #connect() {
    clearTimeout(this.#timer);
    const url = new URL(this.#url);
    if (this.#last !== null) url.searchParams.set("since", String(this.#last));
    let socket;
    try {
      socket = new this.#Socket(url.href);
    } catch {
      this.#wait();
      return;
    }
    this.#socket = socket;
    this.#admitted = false;
    this.#expectSomething(CONNECT_TIMEOUT_MS);
    // A socket that was dropped may still have events under way: only the current one counts.
    socket.addEventListener("open", () => {
      if (socket === this.#socket) this.#expectSomething(SILENCE_MS);
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    });
    socket.addEventListener("close", (event) => {
      if (socket === this.#socket) this.#closed(event.code);
    });
  }

  #receive(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (!Number.isSafeInteger(message?.n)) return;
    this.#failures = 0;
    this.#admitted = true;
    this.#expectSomething(SILENCE_MS);
    this.#setState("live");
    if (message.type === "heartbeat") {
      // Messages of other people have numbers too; the beat says how far we are past those.
      this.#last = Math.max(this.#last ?? 0, message.n);
    } else if (message.type === "snapshot") {
      this.#last = message.n;
      this.#dispatch("live:snapshot", message.data);
    } else {
      if (this.#last !== null && message.n <= this.#last) return;
      this.#last = message.n;
      if (TYPES.has(message.type)) this.#dispatch(`live:${message.type}`, message.data);
    }
    if (message.time) this.#dispatch("live:time", { time: message.time });
  }

  #closed(code) {
    this.#drop();
    if (REFUSAL_CODES.has(code) && !this.#admitted) {
      this.#running = false;
      this.#setState("signed-out");
      return;
    }
    this.#wait();
  }

  #wait() {
    if (!this.#running) return;
    this.#setState("reconnecting");
    const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    this.#failures += 1;
    // Half of it at random: ten thousand browsers must not come back in the same second.
    this.#timer = setTimeout(() => this.#connect(), most / 2 + (most / 2) * this.#random());
  }

  #expectSomething(withinMs) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#drop();
      this.#wait();
    }, withinMs);
  }

  #drop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #setState(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#dispatch("live:state", { state });
  }

  #dispatch(name, detail) {
    const { CustomEvent } = this.#target.defaultView ?? globalThis;
    this.#target.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Opens the channel of a page and keeps it open; without WebSocket the page stays as the server rendered it. */
export function openLiveChannel(path, { window = globalThis.window, ...options } = {}) {
  const url = new URL(path, window.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const { document } = window;
  const channel = new LiveChannel(url.href, { target: document, Socket: window.WebSocket, ...options });
  window.addEventListener("online", () => channel.retryNow());
  window.addEventListener("offline", () => channel.networkLost());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") channel.retryNow();
  });
  // A page in the back-forward cache must not hold a socket; coming back, it catches up from the last number.
  window.addEventListener("pagehide", () => channel.stop());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) channel.start();
  });
  showLiveState(document);
  channel.start();
  return channel;
}

/**
 * Shows the state in every [data-live-state] and the time in every [data-live-as-of]. While <body data-live-paused> the
 * time stands: what the page shows doesn't move on either.
 */
export function showLiveState(document) {
  document.addEventListener("live:state", ({ detail: { state } }) => {
    for (const element of document.querySelectorAll("[data-live-state]")) {
      element.dataset.liveState = state;
      element.hidden = false;
      (element.querySelector("[data-live-text]") ?? element).textContent = STATES[state];
    }
  });
  document.addEventListener("live:time", ({ detail: { time } }) => {
    if ("livePaused" in document.body.dataset) return;
    for (const element of document.querySelectorAll("[data-live-as-of]")) {
      element.dateTime = time;
      element.textContent = formatTime(time, "time");
    }
  });
}
