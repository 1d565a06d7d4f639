// On every page, after the scripts of the page itself have begun to listen.
import { guardForms } from "./forms.js";
import { openLiveChannel } from "./live.js";
import { localiseTimes } from "./times.js";

document.addEventListener("DOMContentLoaded", () => {
  localiseTimes(document);
  guardForms(window);
  const path = document.body.dataset.live;
  if (path && "WebSocket" in window) openLiveChannel(path);
});
