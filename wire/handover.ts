/** Values on their way to one reader, in order. Who pushes learns when a value was dealt with, and so can keep to a bound. */
export class Handover<T> {
  #waiting: { value: T; dealtWith: () => void }[] = [];
  #hasEnded = false;
  #wake = (): void => undefined;

  /** Resolves once the reader asks for the next value, or never where it does not. */
  push(value: T): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ value, dealtWith: resolve });
    this.#wake();
    return promise;
  }

  /** After what waits, nothing more comes. */
  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  async *values(): AsyncGenerator<T> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        yield next.value;
        next.dealtWith();
      } else if (this.#hasEnded) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
