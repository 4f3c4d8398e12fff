/** What clients did against the protocol. A test expects `all` to be empty, or to hold just what it provoked. */
export interface Violations {
  readonly all: readonly string[];
  add(text: string): void;
}

const maxViolations = 1000;

export function createViolations(): Violations {
  const all: string[] = [];
  return {
    all,
    add(text) {
      if (all.length < maxViolations) all.push(text);
    },
  };
}
