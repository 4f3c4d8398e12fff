/* Bounds that both ends of a tunnel keep to. */

/** Data of one message, in bytes. */
export const tunnelPiece_bytes = 65_536;

/** Data towards a workload that was sent and not yet said to be taken, in bytes: what the runner may have to hold of one tunnel. */
export const tunnelWindow_bytes = 256 * 1024;
