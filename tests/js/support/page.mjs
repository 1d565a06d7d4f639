// A page in jsdom for the scripts under test, which read `window` and `document` as globals like in a browser.
//
//   const { window, document, tell, close } = openPage(`<main>…</main>`);
//   await import("../../services/signals/static/signals/dashboard.js");   // or call what it exports
//   tell("live:views_changed", { timeframe: "1d", changes: [...] });
//   close();
import { JSDOM } from "jsdom";

const GLOBALS = ["window", "document", "CustomEvent", "Event", "Node", "HTMLElement", "localStorage"];

export function openPage(body = "", { url = "https://boritrader.test/dashboard", csrf = "token-1" } = {}) {
  const { window } = new JSDOM(
    `<!doctype html><html lang="en" data-theme="system"><head><meta name="csrf-token" content="${csrf}"></head><body>${body}</body></html>`,
    { url, pretendToBeVisual: true },
  );
  const before = new Map(GLOBALS.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]));
  for (const name of GLOBALS) {
    const value = name === "window" ? window : window[name];
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return {
    window,
    document: window.document,
    /** What live.js does when the server says something. */
    tell(name, detail) {
      window.document.dispatchEvent(new window.CustomEvent(name, { detail }));
    },
    /** Collects the details of every such event from now on. */
    listen(name) {
      const heard = [];
      window.document.addEventListener(name, (event) => heard.push(event.detail));
      return heard;
    },
    close() {
      window.close();
      for (const [name, descriptor] of before) {
        if (descriptor) Object.defineProperty(globalThis, name, descriptor);
        else delete globalThis[name];
      }
    },
  };
}
