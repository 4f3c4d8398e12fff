/** Lets what is asked under one key go on one after the other, and everything else at once. */
export type Turns = <T>(key: string, run: () => Promise<T>) => Promise<T>;

/** A key is known only while somebody waits under it. */
export function createTurns(): Turns {
  const last = new Map<string, Promise<void>>();
  return (key, run) => {
    const result = (last.get(key) ?? Promise.resolve()).then(run);
    const settled = result.then(
      () => undefined,
      () => undefined,
    );
    last.set(key, settled);
    void settled.then(() => {
      if (last.get(key) === settled) last.delete(key);
    });
    return result;
  };
}
