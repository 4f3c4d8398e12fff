import type { Demand } from "./demand.ts";
import { type Shape, shapeKey } from "./fleet-shape.ts";

/** `new` for a demand of which no like was met lately, `met` for one whose like was, without its shape being kept. */
type Recalled = Readonly<{ key: string; shape: Shape | "met" | "new" }>;

export type ShapeCache = Readonly<{
  recall: (demand: Demand) => Recalled;
  keep: (key: string, shape: Shape) => void;
}>;

/** Shapes kept; one beyond that takes the place of the one not recalled for longest. */
const shapeLimit = 64;

/** Keys of demands met once, remembered likewise. */
const metLimit = 1024;

/** Characters of a key beyond which nothing is remembered of a demand. */
const keyLimit = 4_096;

/** The shapes recalled lately, by key; a demand's key is worked out once. */
export function createShapeCache(): ShapeCache {
  const shapes = new Map<string, Shape>();
  const met = new Set<string>();
  const keys = new WeakMap<Demand, string>();
  let latest: Recalled | undefined;

  function recall(demand: Demand): Recalled {
    const key = keyOf(demand);
    if (latest?.key === key) return latest;
    const shape = shapes.get(key);
    if (shape === undefined) return meet(key);
    shapes.delete(key);
    shapes.set(key, shape);
    return (latest = { key, shape });
  }

  function meet(key: string): Recalled {
    if (key.length > keyLimit) return { key, shape: "new" };
    if (met.has(key)) return { key, shape: "met" };
    met.add(key);
    dropOldest(met, metLimit);
    return { key, shape: "new" };
  }

  function keep(key: string, shape: Shape): void {
    if (key.length > keyLimit) return;
    met.delete(key);
    shapes.delete(key);
    shapes.set(key, shape);
    dropOldest(shapes, shapeLimit);
    latest = { key, shape };
  }

  function keyOf(demand: Demand): string {
    let key = keys.get(demand);
    if (key === undefined) keys.set(demand, (key = shapeKey(demand)));
    return key;
  }

  return { recall, keep };
}

function dropOldest(entries: Map<string, Shape> | Set<string>, limit: number): void {
  if (entries.size <= limit) return;
  for (const key of entries.keys()) {
    entries.delete(key);
    return;
  }
}
