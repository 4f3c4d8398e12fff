/* Bounds that both ends of a tunnel keep to. */

/** Data of one message, in bytes. */
export const tunnelPiece_bytes = 65_536;

/** What is said first to a runner whose service was dialed, in bytes: the tunnel's id. */
export const tunnelId_bytes = 20;

/** Of inputs that were sent towards a workload and not yet said to be taken, in bytes: what the runner may have to hold of one tunnel. */
export const tunnelWindow_bytes = 256 * 1024;

/** What an input counts beside its data, so that small ones are bounded, too. */
const inputOverhead_bytes = 128;

/** What an input takes of the window, in bytes. */
export function inputWeight_bytes({ kind }: { kind: { value?: unknown } }): number {
  return inputOverhead_bytes + (kind.value instanceof Uint8Array ? kind.value.length : 0);
}
