/** What the store knows of the sessions of a runner's current identity. */
export type SessionNumbers = { issued: bigint; confirmed: bigint };

/**
 * Whether a connecting runner is one of two live copies of its identity (I12). A runner syncs each session number to its disk before it
 * confirms it, so the number it echoes is the last one confirmed, or one that was issued and whose confirmation was lost. An older one
 * means that another copy has confirmed a session since.
 */
export function isClone(echoed: bigint, numbers: SessionNumbers): boolean {
  return echoed < numbers.confirmed;
}
