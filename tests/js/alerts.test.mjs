import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { deleteInPlace } from "../../services/notify/static/notify/alerts.js";
import { announceNews } from "../../services/notify/static/notify/inbox.js";
import { openPage } from "./support/page.mjs";

const item = (id) => `<li data-alert="${id}"><form data-delete-alert="${id}"><button>Delete</button></form></li>`;
const BODY = `
  <div data-alerts-message></div><span data-alerts-count>2</span>
  <ul>${item("a1")}${item("a2")}</ul>
  <form id="alert-form"><select id="algorithm"></select></form>`;

describe("deleting an alert in place", () => {
  let page, calls, answer;
  beforeEach(() => {
    page = openPage(BODY);
    calls = [];
    answer = async () => null;
    deleteInPlace(page.document, {
      call: (path, options) => {
        calls.push([path, options.method]);
        return answer();
      },
    });
  });
  afterEach(() => page.close());

  const ids = () => [...page.document.querySelectorAll("[data-alert]")].map((each) => each.dataset.alert);
  const message = () => page.document.querySelector("[data-alerts-message]").textContent;
  const submit = async (id) => {
    const form = page.document.querySelector(`[data-delete-alert="${id}"]`);
    const event = new page.window.Event("submit", { bubbles: true, cancelable: true });
    form.dispatchEvent(event);
    await new Promise((resolve) => setImmediate(resolve));
    return event;
  };

  it("takes the alert away, counts, says so and hands the focus on", async () => {
    const event = await submit("a1");
    assert.equal(event.defaultPrevented, true);
    assert.deepEqual(calls, [["alerts/a1", "DELETE"]]);
    assert.deepEqual(ids(), ["a2"]);
    assert.equal(page.document.querySelector("[data-alerts-count]").textContent, "1");
    assert.equal(message(), "The alert is deleted.");
    assert.equal(page.document.activeElement.closest("li").dataset.alert, "a2");
    await submit("a2");
    assert.equal(page.document.activeElement.id, "algorithm");
  });

  it("keeps the alert and says why when the server refuses", async () => {
    answer = async () => {
      throw new Error("We could not reach Boritrader.");
    };
    await submit("a1");
    assert.deepEqual(ids(), ["a1", "a2"]);
    assert.equal(message(), "We could not reach Boritrader.");
    assert.equal(page.document.querySelector('[data-delete-alert="a1"] button').disabled, false);
  });

  it("leaves other forms alone", async () => {
    const event = new page.window.Event("submit", { bubbles: true, cancelable: true });
    page.document.querySelector("#alert-form").dispatchEvent(event);
    assert.equal(event.defaultPrevented, false);
    assert.deepEqual(calls, []);
  });
});

describe("the inbox", () => {
  it("says that there is something new when an alert comes", () => {
    const page = openPage("<p data-inbox-news hidden></p>");
    announceNews(page.document);
    const news = page.document.querySelector("[data-inbox-news]");
    assert.equal(news.hidden, true);
    page.tell("live:alert", { ticker: "BTCUSD" });
    assert.equal(news.hidden, false);
    page.close();
  });
});
