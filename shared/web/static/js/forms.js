// Forms marked data-once are sent once, however often the button is pressed.

export function guardForms(window) {
  const { document } = window;
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-once]")) return;
    if (form.getAttribute("aria-busy") === "true") {
      event.preventDefault();
      return;
    }
    // Not `disabled`: a disabled button's own name and value would not be sent.
    form.setAttribute("aria-busy", "true");
  });
  // Back from the next page, out of the browser's cache: the form may be sent again.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-once]")) form.removeAttribute("aria-busy");
  });
}
