import { join } from "node:path";

import type { OutputStream } from "./executor.ts";

/** Bytes that a copier moves at once: what it holds while its disk is full is lost, so few; what a pipe holds is four times that. */
const blockBytes = 16 * 1024;
const segmentBlocks = 1024;

/** Most bytes of one segment of an output. */
export const segmentBytes = blockBytes * segmentBlocks;
/** Segments of one output that are there at one time: the copier makes no further one, and the job blocks on its full pipe. */
export const maximumSegments = 2;

/**
 * The sh function `copy <out or err>`, which moves standard input, a job's pipe, into segments `output/<name>.<number>`. It needs no
 * runner, so that one can be killed at any moment: what was read from the pipe is in a segment, and stays until the runner has removed it.
 * It waits at `<name>.room` while too many are there; a line that comes there says: look again. When the last writer is gone it leaves
 * `output/<name>.end`. Where the disk is full output is lost, never the job's time; the wrapper's pipe of notices says so once.
 */
export const copyFunction = `
copy() {
  exec 9<>"$directory/$1.room"
  number=0 lost=
  while
    number=$((number + 1)) segment=$directory/output/$1.$number
    while [ -e "$directory/output/$1.$((number - ${maximumSegments}))" ]; do read -r _ <&9; done
    until dd bs=${blockBytes} count=${segmentBlocks} >>"$segment"; do
      [ -d "$directory/output" ] || exit
      [ -n "$lost" ] || echo lost 1<>"$directory/notify"
      lost=yes
      [ -e "$segment" ] || { dd bs=${blockBytes} count=1 >/dev/null; sleep 1; }
    done
    [ -s "$segment" ]
  do :; done
  mv -f "$segment" "$directory/output/$1.end"
}`;

/** Where one output of an execution lies. */
export type OutputFiles = {
  /** The FIFO that the job writes to. */
  pipe: string;
  /** The FIFO at which its copier waits for room. */
  room: string;
  /** Where the runner keeps what it took last. */
  mark: string;
  /** The directory with the segments of both outputs. */
  directory: string;
  segment(number: number): string;
  end: string;
  /** The number of a segment of this output, by its name. */
  numberOf(name: string): number | undefined;
};

/** Of the directory of an execution; looks at nothing. */
export function outputFiles(execution: string, stream: OutputStream): OutputFiles {
  const name = stream === "stdout" ? "out" : "err";
  const directory = join(execution, "output");
  return {
    pipe: join(execution, name),
    room: join(execution, `${name}.room`),
    mark: join(execution, `${name}.mark`),
    directory,
    segment: (number) => join(directory, `${name}.${number}`),
    end: join(directory, `${name}.end`),
    numberOf: (file) => (new RegExp(`^${name}\\.[0-9]+$`).test(file) ? Number(file.slice(name.length + 1)) : undefined),
  };
}
