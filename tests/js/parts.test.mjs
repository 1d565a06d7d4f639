import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { guardForms } from "@shared/forms.js";
import { candleTime, isBefore, localiseTimes } from "@shared/times.js";
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

describe("the time of a candle", () => {
  const zone = process.env.TZ;
  afterEach(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  for (const place of ["America/Los_Angeles", "Pacific/Auckland"]) {
    it(`is its UTC time in ${place} too`, () => {
      page = openPage('<time datetime="2013-04-14T00:00:00+00:00">14 Apr 2013</time>');
      process.env.TZ = place;
      localiseTimes(page.document);
      assert.equal(page.document.querySelector("time").textContent, "14 Apr 2013");
      assert.equal(candleTime("2013-04-14T00:00:00Z", "date"), "14 Apr 2013");
      assert.equal(candleTime("2026-11-02T23:05:00Z"), "02 Nov 2026, 23:05 UTC");
    });
  }

  it("is short in tight places: a minute, or the day of a daily candle", () => {
    page = openPage();
    assert.equal(candleTime("2026-11-22T13:05:00Z", "short"), "22 Nov 13:05");
    assert.equal(candleTime("2013-09-18T00:00:00Z", "short"), "18 Sep 2013");
  });

  it("is compared as a moment, however it is written", () => {
    page = openPage();
    assert.equal(isBefore("2026-11-22T12:00:00+00:00", "2026-11-22T12:00:00Z"), false);
    assert.equal(isBefore("2026-11-22T12:00:00+00:00", "2026-11-22T12:00:01Z"), true);
    assert.equal(isBefore(undefined, "2026-11-22T12:00:01Z"), false);
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
