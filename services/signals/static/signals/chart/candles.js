// The candle chart: the library on our colours, which follow the theme.
import {
  CandlestickSeries,
  HistogramSeries,
  createChart,
  createSeriesMarkers,
} from "lightweight-charts";
import { followTheme, looks, palette } from "./looks.js";
import { precisionOf } from "./precision.js";

const VISIBLE = 120;

/** Opens a chart in an element; `show` draws candles and markers, the first time at the newest candles. */
export function openChart(element) {
  const chart = createChart(element, { autoSize: true, ...looks(element) });
  const series = chart.addSeries(CandlestickSeries, candleLooks(element));
  const volume = chart.addSeries(HistogramSeries, {
    priceScaleId: "volume",
    priceFormat: { type: "volume" },
    lastValueVisible: false,
    priceLineVisible: false,
  });
  chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
  const markers = createSeriesMarkers(series, []);
  let shown = { candles: [], changes: [] };
  let placed = false;

  function draw() {
    const colour = palette(element);
    series.setData(shown.candles);
    volume.setData(
      shown.candles.map(({ time, open, close, volume: value }) => ({
        time,
        value,
        color: close >= open ? colour.buySoft : colour.sellSoft,
      })),
    );
    const times = new Set(shown.candles.map(({ time }) => time));
    markers.setMarkers(
      shown.changes
        .filter(({ time }) => times.has(time))
        .map(({ time, view }) => ({
          time,
          position: view === "BUY" ? "belowBar" : "aboveBar",
          shape: view === "BUY" ? "arrowUp" : "arrowDown",
          color: view === "BUY" ? colour.buy : colour.sell,
          text: view,
        })),
    );
  }

  function repaint() {
    chart.applyOptions(looks(element));
    series.applyOptions(candleLooks(element));
    draw();
  }

  followTheme(element, repaint);

  return {
    show(candles, changes) {
      shown = { candles, changes };
      if (candles.length > 0) {
        const step = precisionOf(candles);
        series.applyOptions({ priceFormat: { type: "price", precision: step, minMove: 10 ** -step } });
      }
      draw();
      if (!placed && candles.length > 0) {
        chart.timeScale().setVisibleLogicalRange({ from: candles.length - VISIBLE, to: candles.length + 4 });
        placed = true;
      }
    },
  };
}

function candleLooks(element) {
  const colour = palette(element);
  return {
    upColor: colour.buy,
    wickUpColor: colour.buy,
    borderUpColor: colour.buy,
    downColor: colour.sell,
    wickDownColor: colour.sell,
    borderDownColor: colour.sell,
  };
}
