const cover = "***";

/**
 * `text` with a cover wherever one of `secrets` stands in it; where these overlap or touch, one cover for all, so that nothing of a
 * secret is left beside another. Empty secrets are passed over.
 */
export function coverSecrets(text: string, secrets: readonly string[]): string {
  const places = secrets.flatMap((secret) => placesOf(text, secret)).toSorted((one, other) => one.start - other.start);
  let covered = "";
  let position = 0;
  let isOpen = false;
  for (const { start, end } of places) {
    if (start > position || !isOpen) covered += text.slice(position, start) + cover;
    isOpen = true;
    position = Math.max(position, end);
  }
  return covered + text.slice(position);
}

/** From `start`, to before `end`. */
type Place = { start: number; end: number };

function placesOf(text: string, secret: string): Place[] {
  const places: Place[] = [];
  if (secret === "") return places;
  for (let start = text.indexOf(secret); start !== -1; start = text.indexOf(secret, start + 1))
    places.push({ start, end: start + secret.length });
  return places;
}
