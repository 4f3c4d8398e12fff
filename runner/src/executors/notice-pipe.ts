import { Buffer } from "node:buffer";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { Socket } from "node:net";

import { ignoringCodes } from "../ignoring-codes.ts";

/** More than a wrapper ever says. */
const noticeBytes = 1024;

/** The runner's end of the FIFO at which a wrapper says what happens. */
export type NoticePipe = {
  /** Hears what was said until now. For when nobody is left that speaks. */
  drain(): void;
  close(): void;
};

/** Listens at the FIFO at `path`. `ended` is called when the last who could speak is gone. */
export function openNoticePipe(path: string, heard: (words: string) => void, ended: () => void): NoticePipe {
  const open = (): number => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const socket = new Socket({ fd: open(), readable: true, writable: false });
  socket.on("data", (words: Buffer) => heard(words.toString()));
  socket.on("error", () => socket.destroy());
  socket.on("end", ended);
  return {
    drain() {
      const own = open();
      try {
        const words = Buffer.alloc(noticeBytes);
        const length = ignoringCodes(["EAGAIN"], () => readSync(own, words, 0, noticeBytes, null)) ?? 0;
        if (length > 0) heard(words.toString("utf8", 0, length));
      } finally {
        closeSync(own);
      }
    },
    close: () => socket.destroy(),
  };
}
