// Two kinds of times. When something happened to the reader (a mail, a login, "current as of") is shown in the reader's
// zone; the server writes UTC, so that a page without scripts is right too. The time of a candle stays in UTC, as the
// server writes it: a daily candle belongs to its UTC day, whatever day it is where the reader sits.

const FORMS = {
  datetime: { day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" },
  date: { day: "2-digit", month: "short", year: "numeric" },
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
};

/** "22 Nov 2026, 13:05" in the zone of the browser; `form` is datetime, date or time. */
export function formatTime(moment, form = "datetime") {
  return new Intl.DateTimeFormat(undefined, FORMS[form] ?? FORMS.datetime).format(new Date(moment));
}

/**
 * When a candle opened or closed, in UTC. `form` is datetime ("22 Nov 2026, 13:05 UTC"), date ("22 Nov 2026"), or short
 * for tight places ("22 Nov 13:05", and at midnight the date).
 */
export function candleTime(moment, form = "datetime") {
  const [, day, month, year, clock] = new Date(moment).toUTCString().split(" ");
  const minute = clock.slice(0, 5);
  if (form === "date" || (form === "short" && minute === "00:00")) return `${day} ${month} ${year}`;
  return form === "short" ? `${day} ${month} ${minute}` : `${day} ${month} ${year}, ${minute} UTC`;
}

/** <time> of a candle. */
export function candleTimeElement(moment, form, document = globalThis.document) {
  const element = document.createElement("time");
  element.dateTime = moment;
  element.textContent = candleTime(moment, form);
  return element;
}

/** Whether one moment is before another; false when either is not known. */
export function isBefore(one, other) {
  return Date.parse(one) < Date.parse(other);
}

/** Rewrites every <time data-local="form"> under `root`; its UTC text stays as the title. */
export function localiseTimes(root) {
  for (const element of root.querySelectorAll("time[data-local]")) {
    if (Number.isNaN(Date.parse(element.dateTime))) continue;
    element.title = element.title || element.textContent.trim();
    element.textContent = formatTime(element.dateTime, element.dataset.local);
  }
}
