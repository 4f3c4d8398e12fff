/** Lets others wait for something to become true. */
export class Changes {
  readonly #looks = new Set<() => void>();

  /** Something changed: those who wait look again. */
  announce(): void {
    for (const look of this.#looks) look();
  }

  /** Resolves when `isTrue` holds, which is looked at after each change, or `signal` aborts; answers which. */
  async until(isTrue: () => boolean, signal: AbortSignal): Promise<boolean> {
    if (isTrue() || signal.aborted) return isTrue();
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => (isTrue() ? resolve() : undefined);
    const onAbort = (): void => resolve();
    this.#looks.add(look);
    signal.addEventListener("abort", onAbort, { once: true });
    await promise;
    this.#looks.delete(look);
    signal.removeEventListener("abort", onAbort);
    return isTrue();
  }
}
