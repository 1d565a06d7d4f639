// How a price axis is written.

/** Decimals of the axis: as many as the closes have, at least two and at most eight. */
export function precisionOf(candles) {
  let most = 2;
  for (const { close } of candles.slice(-50)) {
    const [mantissa, exponent = "0"] = String(close).split("e");
    most = Math.max(most, (mantissa.split(".")[1] ?? "").length - Number(exponent));
  }
  return Math.min(8, most);
}
