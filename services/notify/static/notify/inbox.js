// Says that there is something new, and leaves the page as it is until the reader wants it.
export function announceNews(document) {
  document.addEventListener("live:alert", () => {
    document.querySelector("[data-inbox-news]").hidden = false;
  });
}

if (globalThis.document) announceNews(globalThis.document);
