// Deletes alerts without loading the page anew. Without this script the same forms are posted.
import { api } from "@shared/api.js";

export function deleteInPlace(document, { call = api } = {}) {
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const id = form.dataset.deleteAlert;
    if (!id) return;
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await call(`alerts/${id}`, { method: "DELETE" });
    } catch (error) {
      button.disabled = false;
      say(document, error.message, "error");
      return;
    }
    const item = form.closest("[data-alert]");
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    const count = document.querySelector("[data-alerts-count]");
    if (count) count.textContent = String(Math.max(0, Number(count.textContent) - 1));
    say(document, "The alert is deleted.", "success");
    // The button that had the focus is gone: the next one takes it, or the form when there is none.
    (next?.querySelector("button") ?? document.querySelector("#algorithm"))?.focus();
  });
}

function say(document, text, kind) {
  const place = document.querySelector("[data-alerts-message]");
  const message = document.createElement("p");
  message.className = `message message--${kind}`;
  message.textContent = text;
  place.replaceChildren(message);
}

if (globalThis.document) deleteInPlace(globalThis.document);
