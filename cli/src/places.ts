/** So many at once; who comes when all are taken waits for one to be given back. */
export interface Places {
  take(): Promise<void>;
  giveBack(): void;
}

/** Places for `count` at once, handed on in the order in which they were asked for. */
export function createPlaces(count: number): Places {
  let free = count;
  const waiting: (() => void)[] = [];
  return {
    async take() {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => void waiting.push(resolve));
    },
    giveBack() {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    },
  };
}
