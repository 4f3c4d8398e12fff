/** What commands that entered a job have in common: each leads a session, by which it and what it started are found. */
import { constants } from "node:os";

import type { Entered } from "./executor.ts";
import { readProcesses, signal } from "./process-tree.ts";

/** Between hanging up and killing. */
const hangupGraceMs = 2000;

/** Arguments of the `sh` that enters. `sparesLeader`: it waits outside for the command, and signals are not for it. */
export type EnterCommand = { args: string[]; sparesLeader: boolean };

/** Of the part that runs as the runner's user: nothing that a job or its caller could set. */
export function innerEnvironment(): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C" };
}

/** As a shell would say it. */
export function exitOf(code: number | null, name: NodeJS.Signals | null): Awaited<Entered["exit"]> {
  if (name === null) return { exitCode: code ?? 0 };
  return { exitCode: 128 + constants.signals[name], signal: name };
}

/** Sends a signal to every process of the session that `leader` leads. */
export function signalSession(leader: number, name: NodeJS.Signals, sparesLeader: boolean): void {
  for (const { pid, sessionId } of readProcesses()) {
    if (sessionId !== leader || (sparesLeader && pid === leader)) continue;
    try {
      signal(pid, name);
    } catch {
      // It has become another user's by a set-uid program, which is not ours to signal.
    }
  }
}

/** Hangs up on a session, once, and kills after a grace what is left of it. */
export function closing(leader: number, exit: Entered["exit"]): () => void {
  let isOver = false;
  void exit.then(() => (isOver = true));
  return () => {
    if (isOver) return;
    isOver = true;
    signalSession(leader, "SIGHUP", false);
    signalSession(leader, "SIGCONT", false);
    const kill = setTimeout(() => signalSession(leader, "SIGKILL", false), hangupGraceMs);
    void exit.then(() => clearTimeout(kill));
  };
}
