/**
 * A decimal number taken apart so that two compare exactly, whatever their length: `9007199254740993` is greater than
 * `9007199254740992`, which floating point cannot tell.
 */
type Decimal = Readonly<{ negative: boolean; whole: string; fraction: string }>;

/** Compares two decimal numbers (`-12`, `0.5`); `undefined` where either text is not one. */
export function compareDecimals(left: string, right: string): -1 | 0 | 1 | undefined {
  const a = parseDecimal(left);
  const b = parseDecimal(right);
  if (a === undefined || b === undefined) return undefined;
  if (a.negative !== b.negative) return a.negative ? -1 : 1;
  return a.negative ? compareMagnitudes(b, a) : compareMagnitudes(a, b);
}

function parseDecimal(text: string): Decimal | undefined {
  const signed = text.startsWith("-") || text.startsWith("+");
  const digits = signed ? text.slice(1) : text;
  const point = digits.indexOf(".");
  const whole = point < 0 ? digits : digits.slice(0, point);
  const fraction = point < 0 ? "0" : digits.slice(point + 1);
  if (!isDigits(whole) || !isDigits(fraction)) return undefined;

  const magnitude = { whole: withoutLeadingZeros(whole), fraction: withoutTrailingZeros(fraction) };
  const isZero = magnitude.whole === "" && magnitude.fraction === "";
  return { negative: text.startsWith("-") && !isZero, ...magnitude };
}

function isDigits(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 48 || code > 57) return false;
  }
  return text.length > 0;
}

function withoutLeadingZeros(digits: string): string {
  let start = 0;
  while (digits[start] === "0") start++;
  return digits.slice(start);
}

function withoutTrailingZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === "0") end--;
  return digits.slice(0, end);
}

function compareMagnitudes(a: Decimal, b: Decimal): -1 | 0 | 1 {
  if (a.whole.length !== b.whole.length) return a.whole.length < b.whole.length ? -1 : 1;
  return compareTexts(a.whole, b.whole) || compareTexts(a.fraction, b.fraction);
}

function compareTexts(a: string, b: string): -1 | 0 | 1 {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
