// Times in the reader's own zone. The server writes UTC, so that a page without scripts is right too.

const FORMS = {
  datetime: { day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" },
  date: { day: "2-digit", month: "short", year: "numeric" },
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
};

/** "22 Nov 2026, 13:05" in the zone of the browser; `form` is datetime, date or time. */
export function formatTime(moment, form = "datetime") {
  return new Intl.DateTimeFormat(undefined, FORMS[form] ?? FORMS.datetime).format(new Date(moment));
}

/** Rewrites every <time data-local="form"> under `root`; its UTC text stays as the title. */
export function localiseTimes(root) {
  for (const element of root.querySelectorAll("time[data-local]")) {
    if (Number.isNaN(Date.parse(element.dateTime))) continue;
    element.title = element.title || element.textContent.trim();
    element.textContent = formatTime(element.dateTime, element.dataset.local);
  }
}
