/** The end of a text that comes in pieces. */
export interface LastLines {
  add(piece: string): void;
  /** Whole lines but for the last: of a line that was cut, half a secret could stand there, which nobody could tell. */
  readonly text: string;
}

/** Keeps at most so many characters. */
export function createLastLines(limit: number): LastLines {
  let text = "";
  let isCut = false;
  return {
    add(piece) {
      text += piece;
      if (text.length > limit) {
        text = text.slice(-limit);
        isCut = true;
      }
      if (!isCut) return;
      const end = text.indexOf("\n");
      text = end < 0 ? "" : text.slice(end + 1);
      isCut = end < 0;
    },
    get text() {
      return text;
    },
  };
}
