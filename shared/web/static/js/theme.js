// Light, dark, or as the system says. Loaded in the head as a classic script, before the page is painted, so that
// nobody who asked for dark is flashed with light. Built as one file of its own.

export const THEMES = ["system", "light", "dark"];
const KEY = "theme";

/** What was chosen on this device; "system" when nothing was, or storage is closed to us. */
export function storedTheme(window) {
  try {
    const theme = window.localStorage.getItem(KEY);
    return THEMES.includes(theme) ? theme : "system";
  } catch {
    return "system";
  }
}

export function applyTheme(window, theme) {
  window.document.documentElement.dataset.theme = theme;
}

/** Wires every [data-theme-toggle] button: system, light, dark, and around again. */
export function wireToggles(window) {
  const { document } = window;
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    name(button, storedTheme(window));
    button.hidden = false;
    button.addEventListener("click", () => {
      const current = document.documentElement.dataset.theme;
      const theme = THEMES[(THEMES.indexOf(current) + 1) % THEMES.length];
      applyTheme(window, theme);
      name(button, theme);
      try {
        window.localStorage.setItem(KEY, theme);
      } catch {
        // Storage is closed (private window): the choice holds for this page.
      }
      document.dispatchEvent(new window.CustomEvent("theme:changed", { detail: { theme } }));
    });
  }
}

export function startTheme(window) {
  applyTheme(window, storedTheme(window));
  window.document.addEventListener("DOMContentLoaded", () => wireToggles(window));
  // Another tab changed it.
  window.addEventListener("storage", (event) => {
    if (event.key !== KEY) return;
    applyTheme(window, storedTheme(window));
    for (const button of window.document.querySelectorAll("[data-theme-toggle]")) name(button, storedTheme(window));
  });
}

function name(button, theme) {
  button.title = `Colour theme: ${theme}`;
  button.setAttribute("aria-label", button.title);
}
