import { isLive, type Holding } from "./holding.ts";

/** What sums of fractions may be off by. */
const rounding = 1e-9;

/** What live holdings take, kept up to date with each change so that a placement costs the same however many are held. */
export class Usage {
  readonly #used = new Map<string, number>();
  #liveCount = 0;

  get liveCount(): number {
    return this.#liveCount;
  }

  #of(name: string): number {
    return this.#used.get(name) ?? 0;
  }

  /** Why `resources` do not fit into what is left of `capacity`, or `undefined`. */
  shortage(
    resources: Readonly<Record<string, number>>,
    capacity: Readonly<Record<string, number>>,
  ): string | undefined {
    for (const [name, amount] of Object.entries(resources)) {
      const total = capacity[name] ?? 0;
      const free = total - this.#of(name);
      if (amount > free + rounding) return `this runner has ${free} of ${total} ${name} free, not ${amount}`;
    }
    return undefined;
  }

  /** A holding became another, or came or went. */
  replace(before: Holding | undefined, after: Holding | undefined): void {
    if (before !== undefined && isLive(before)) this.#add(before, -1);
    if (after !== undefined && isLive(after)) this.#add(after, 1);
    // Fractions do not add up to zero by themselves.
    if (this.#liveCount === 0) this.#used.clear();
  }

  #add({ placement }: Holding, sign: 1 | -1): void {
    this.#liveCount += sign;
    for (const [name, amount] of Object.entries(placement.resources)) {
      this.#used.set(name, this.#of(name) + sign * amount);
    }
  }
}
