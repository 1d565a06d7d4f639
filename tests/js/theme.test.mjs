import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { startTheme } from "@shared/theme.js";
import { openPage } from "./support/page.mjs";

describe("the colour theme", () => {
  let page;

  beforeEach(() => {
    page = openPage("<button data-theme-toggle hidden>Theme</button>");
  });

  afterEach(() => page.close());

  const start = () => {
    startTheme(page.window);
    page.document.dispatchEvent(new page.window.Event("DOMContentLoaded"));
  };
  const theme = () => page.document.documentElement.dataset.theme;
  const button = () => page.document.querySelector("button");

  it("is the system's until somebody chooses", () => {
    start();
    assert.equal(theme(), "system");
    assert.equal(button().hidden, false);
    assert.equal(button().getAttribute("aria-label"), "Colour theme: system");
  });

  it("goes round from system to light to dark, and is remembered", () => {
    start();
    const seen = [0, 1, 2].map(() => {
      button().click();
      return [theme(), page.window.localStorage.getItem("theme"), button().title];
    });
    assert.deepEqual(seen, [
      ["light", "light", "Colour theme: light"],
      ["dark", "dark", "Colour theme: dark"],
      ["system", "system", "Colour theme: system"],
    ]);
  });

  it("is set before the page is parsed further", () => {
    page.window.localStorage.setItem("theme", "dark");
    startTheme(page.window);
    assert.equal(theme(), "dark");
  });

  it("ignores nonsense in the storage", () => {
    page.window.localStorage.setItem("theme", '"><script>');
    start();
    assert.equal(theme(), "system");
  });

  it("works where storage is closed", () => {
    const closed = { get: () => { throw new page.window.DOMException("denied", "SecurityError"); } };
    Object.defineProperty(page.window, "localStorage", closed);
    start();
    button().click();
    assert.equal(theme(), "light");
  });

  it("follows another tab", () => {
    start();
    page.window.localStorage.setItem("theme", "dark");
    page.window.dispatchEvent(new page.window.StorageEvent("storage", { key: "theme" }));
    assert.equal(theme(), "dark");
    assert.equal(button().title, "Colour theme: dark");
  });
});
