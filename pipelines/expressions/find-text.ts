/** Whether `text` holds `wanted`, in one step for each character of the two (Knuth, Morris, Pratt 1977). */
export function holdsText(text: string, wanted: string): boolean {
  if (wanted === "") return true;
  const borders = borderLengths(wanted);
  let matched = 0;
  for (let index = 0; index < text.length; index++) {
    while (matched > 0 && text[index] !== wanted[matched]) matched = borders[matched - 1]!;
    if (text[index] === wanted[matched]) matched++;
    if (matched === wanted.length) return true;
  }
  return false;
}

/** For each prefix, the length of the longest shorter prefix that it ends with. */
function borderLengths(wanted: string): number[] {
  const borders = [0];
  let matched = 0;
  for (let index = 1; index < wanted.length; index++) {
    while (matched > 0 && wanted[index] !== wanted[matched]) matched = borders[matched - 1]!;
    if (wanted[index] === wanted[matched]) matched++;
    borders.push(matched);
  }
  return borders;
}
