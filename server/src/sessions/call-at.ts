/** The longest that a timer is set for: beyond 2^31 - 1 ms Node would call it at once. */
const longestTimer_ms = 86_400_000;

/** Calls `due` at a time, however far off. What it answers cancels that. */
export function callAt(time: Date, due: () => void, longest_ms: number = longestTimer_ms): () => void {
  let timer: NodeJS.Timeout;
  const wait = () => {
    const left_ms = time.getTime() - Date.now();
    if (left_ms <= 0) due();
    else timer = setTimeout(wait, Math.min(left_ms, longest_ms));
  };
  timer = setTimeout(wait, 0);
  return () => clearTimeout(timer);
}
