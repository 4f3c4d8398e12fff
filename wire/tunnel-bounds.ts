/* Bounds that both ends of a tunnel keep to. */

/** Data of one message, in bytes. */
export const tunnelPiece_bytes = 65_536;

/** Inputs for a workload that were sent and not yet said to be taken, in bytes: what the runner may have to hold of one tunnel. */
export const tunnelWindow_bytes = 256 * 1024;

/** What an input counts at least, in bytes: one without data is held like any other. */
const smallestInput_bytes = 1024;

/** What an input takes of the window, in bytes. */
export function windowShare_bytes({ kind }: { kind: { case: string | undefined; value?: unknown } }): number {
  const data_bytes = kind.value instanceof Uint8Array ? kind.value.length : 0;
  return Math.max(data_bytes, smallestInput_bytes);
}
