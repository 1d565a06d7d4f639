// How prices are written.

/** Decimals of the axis: as many as the closes have, at least two and at most eight. */
export function precisionOf(candles) {
  let most = 2;
  for (const { close } of candles.slice(-50)) {
    const [mantissa, exponent = "0"] = String(close).split("e");
    most = Math.max(most, (mantissa.split(".")[1] ?? "").length - Number(exponent));
  }
  return Math.min(8, most);
}

/** A price with all its digits, in groups of three, never as a power of ten: as the server writes it. */
export function priceText(price) {
  const [mantissa, exponent = "0"] = String(price).split("e");
  const [whole, fraction = ""] = mantissa.split(".");
  const point = whole.length + Number(exponent);
  const digits = "0".repeat(Math.max(0, 1 - point)) + whole + fraction;
  const padded = digits.padEnd(point, "0");
  const split = Math.max(1, point);
  const groups = padded.slice(0, split).replace(/\B(?=(?:\d{3})+$)/g, ",");
  return padded.length > split ? `${groups}.${padded.slice(split)}` : groups;
}
