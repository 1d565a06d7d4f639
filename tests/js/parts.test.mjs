import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { guardForms } from "@shared/forms.js";
import { localiseTimes } from "@shared/times.js";
import { viewBadge, viewChange } from "@shared/views.js";
import { openPage } from "./support/page.mjs";

let page;
afterEach(() => page.close());

describe("views made by scripts", () => {
  beforeEach(() => {
    page = openPage();
  });

  it("look like those of the templates", () => {
    assert.equal(viewBadge("BUY").outerHTML, '<span class="view view--buy" data-view="BUY">BUY</span>');
  });

  it("say a change to eyes and ears", () => {
    const change = viewChange("HOLD", "BUY");
    assert.equal(change.textContent, "HOLD to BUY");
    assert.equal(change.querySelector(".view-change__arrow").getAttribute("aria-hidden"), "true");
  });

  it("refuse what is no view, so that nothing from outside becomes a class", () => {
    assert.throws(() => viewBadge("buy sell"), RangeError);
  });
});

describe("times", () => {
  it("are shown in the reader's zone, with the server's text as the title", () => {
    page = openPage('<time datetime="2026-11-22T12:00:05+00:00" data-local="time">12:00:05 UTC</time><time data-local="time">soon</time>');
    localiseTimes(page.document);
    const [moment, broken] = page.document.querySelectorAll("time");
    const local = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    assert.equal(moment.textContent, local.format(new Date("2026-11-22T12:00:05Z")));
    assert.equal(moment.title, "12:00:05 UTC");
    assert.equal(broken.textContent, "soon");
  });
});

describe("forms to be sent once", () => {
  beforeEach(() => {
    page = openPage("<form data-once><button>Pay</button></form><form id=other></form>");
    guardForms(page.window);
  });

  const submit = (form) => {
    const event = new page.window.Event("submit", { bubbles: true, cancelable: true });
    form.dispatchEvent(event);
    return !event.defaultPrevented;
  };

  it("go off the first time only", () => {
    const form = page.document.querySelector("[data-once]");
    assert.deepEqual([submit(form), submit(form)], [true, false]);
  });

  it("may go again after coming back to the page", () => {
    const form = page.document.querySelector("[data-once]");
    submit(form);
    page.window.dispatchEvent(new page.window.Event("pageshow"));
    assert.equal(submit(form), true);
  });

  it("leave other forms alone", () => {
    const form = page.document.querySelector("#other");
    assert.deepEqual([submit(form), submit(form)], [true, true]);
  });
});
