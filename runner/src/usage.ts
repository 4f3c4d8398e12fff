import { isLive, type Holding } from "./holding.ts";

/** What live holdings take, kept up to date with each change so that a placement costs the same however many are held. */
export class Usage {
  readonly #used = new Map<string, number>();
  #liveCount = 0;

  get liveCount(): number {
    return this.#liveCount;
  }

  /** How much of a resource is taken. */
  of(name: string): number {
    return this.#used.get(name) ?? 0;
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
      this.#used.set(name, this.of(name) + sign * amount);
    }
  }
}
