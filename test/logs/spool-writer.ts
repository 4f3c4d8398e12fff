/** A process that spools numbered lines, says after each append how many it made, and goes on until it is killed. */
import { writeSync } from "node:fs";
import { openSpool } from "../../runner/src/spool.ts";

const spool = openSpool({ directory: process.argv[2]!, segmentBytes: 16 * 1024 });
for (let line = spool.nextLine; ; line++) {
  // Lines come in two parts, so that the death falls into open lines too.
  spool.append("stdout", Buffer.from(`line ${line}`), Date.now());
  spool.append("stdout", Buffer.from(`${"-".repeat(line % 100)}\n`), Date.now());
  writeSync(1, `${line}\n`);
}
