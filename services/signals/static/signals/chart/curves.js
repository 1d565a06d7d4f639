// The worth of a rule beside holding, and below it how far it fell: percentages on our colours.
import { AreaSeries, LineSeries, LineStyle, createChart } from "lightweight-charts";
import { followTheme, looks, palette } from "./looks.js";

/** A percentage as the axis writes it. */
export function percentText(value) {
  const digits = Math.abs(value) >= 100 ? 0 : 1;
  return `${value.toFixed(digits).replace("-", "−")} %`;
}

/** Opens the chart in an element; `show` draws `{ equity, hold, drawdown }`, all of them and no more. */
export function openCurves(element, { daily = false } = {}) {
  const priceFormat = { type: "custom", formatter: percentText, minMove: 0.01 };
  const options = () => {
    const shared = looks(element);
    const timeScale = { ...shared.timeScale, timeVisible: !daily, fixLeftEdge: true, fixRightEdge: true };
    const panes = { separatorColor: palette(element).line, enableResize: false };
    return { ...shared, layout: { ...shared.layout, panes }, timeScale };
  };
  const chart = createChart(element, { autoSize: true, ...options() });
  const hold = chart.addSeries(LineSeries, { priceFormat, priceLineVisible: false, lineWidth: 2 });
  const equity = chart.addSeries(LineSeries, { priceFormat, priceLineVisible: false, lineWidth: 2 });
  const drawdown = chart.addSeries(AreaSeries, { priceFormat, priceLineVisible: false, lineWidth: 1 }, 1);
  const start = equity.createPriceLine({ price: 0, lineWidth: 1, lineStyle: LineStyle.Solid, axisLabelVisible: false });
  chart.panes()[0].setStretchFactor(3);
  chart.panes()[1].setStretchFactor(1);
  chart.priceScale("right", 0).applyOptions({ scaleMargins: { top: 0.08, bottom: 0.08 } });
  chart.priceScale("right", 1).applyOptions({ scaleMargins: { top: 0.05, bottom: 0.1 } });

  function paint() {
    const colour = palette(element);
    chart.applyOptions(options());
    equity.applyOptions({ color: colour.accent });
    hold.applyOptions({ color: colour.barley, lineStyle: LineStyle.Dashed });
    // filled from zero down: what is coloured is what was lost
    drawdown.applyOptions({
      lineColor: colour.sell,
      topColor: colour.sellSoft,
      bottomColor: colour.sellSoft,
      invertFilledArea: true,
    });
    start.applyOptions({ color: colour.text });
  }

  paint();
  followTheme(element, paint);
  return {
    show(curves) {
      equity.setData(curves.equity);
      hold.setData(curves.hold);
      drawdown.setData(curves.drawdown);
      chart.timeScale().fitContent();
    },
  };
}
