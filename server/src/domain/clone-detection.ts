/** What the store knows of the sessions of a runner's current identity. */
export type SessionNumbers = { confirmed: bigint; instanceId: string | undefined };

/** Who connects: a process, and the last session number that it has on disk. */
export type Newcomer = { echoed: bigint; instanceId: string };

/**
 * Whether a connecting runner is one of two live copies of its identity (I12). A runner syncs each session number to its disk before it
 * confirms it, so the number it echoes is the last one confirmed, or one that was issued and whose confirmation was lost. An older one
 * means that another copy has confirmed a session since; or, from the process that holds the last session, that the hello was held up on
 * its way, and nobody waits for its answer any more.
 */
export function judgeEcho(newcomer: Newcomer, { confirmed, instanceId }: SessionNumbers): "good" | "late" | "clone" {
  if (newcomer.echoed >= confirmed) return "good";
  return newcomer.instanceId === instanceId ? "late" : "clone";
}
