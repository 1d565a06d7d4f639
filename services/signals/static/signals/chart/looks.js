// The colours and the frame of our charts, which follow the theme.
import { ColorType, CrosshairMode } from "lightweight-charts";

/** The colours of the theme as the chart library takes them. */
export function palette(element) {
  const probe = element.ownerDocument.createElement("span");
  element.append(probe);
  const resolve = (name) => {
    probe.style.color = `var(--${name})`;
    return element.ownerDocument.defaultView.getComputedStyle(probe).color;
  };
  const colours = {
    text: resolve("muted"),
    line: resolve("line"),
    surface: resolve("surface"),
    buy: resolve("buy"),
    buySoft: resolve("buy-soft"),
    sell: resolve("sell"),
    sellSoft: resolve("sell-soft"),
    accent: resolve("accent"),
    barley: resolve("barley"),
  };
  probe.remove();
  return colours;
}

/** The options that all charts share. */
export function looks(element) {
  const colour = palette(element);
  const font = element.ownerDocument.defaultView.getComputedStyle(element).fontFamily;
  return {
    layout: {
      background: { type: ColorType.Solid, color: colour.surface },
      textColor: colour.text,
      fontFamily: font,
      attributionLogo: false,
    },
    grid: { vertLines: { visible: false }, horzLines: { color: colour.line } },
    crosshair: { mode: CrosshairMode.Magnet },
    rightPriceScale: { borderColor: colour.line, scaleMargins: { top: 0.08, bottom: 0.2 } },
    timeScale: { borderColor: colour.line, timeVisible: true, secondsVisible: false },
    handleScale: { mouseWheel: false, pinch: true, axisPressedMouseMove: true },
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
  };
}

/** Calls `repaint` whenever the theme changes. */
export function followTheme(element, repaint) {
  const { documentElement, defaultView } = element.ownerDocument;
  new MutationObserver(repaint).observe(documentElement, { attributeFilter: ["data-theme"] });
  defaultView.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}
