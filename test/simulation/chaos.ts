import type { Replica } from "./replica.ts";
import type { Random } from "../../server/src/secure-random.ts";

/** What becomes of a statement. */
export type Fate = "done" | "not sent" | "not answered";

/** Every choice of a history, drawn from the seed. Once calmed, everything is quick and nothing fails. */
export interface Chaos {
  /** A uniform integer below `bound`. */
  below(bound: number): number;
  /** Whether something of so many in a hundred happens; never once calmed. */
  hits(percent: number): boolean;
  pick<T>(values: readonly T[]): T;
  fateOfStatement(reads: boolean): Fate;
  statementDelay_ms(): number;
  answerDelay_ms(): number;
  /** Whether a statement that a process sent before it died takes effect. */
  lastsBeyondCrash(): boolean;
  linkDelay_ms(): number;
  losesWhatIsUnderWay(): boolean;
  /** Until the control plane notices that a link is gone whose end it was not told of. */
  noticeDelay_ms(): number;
  diskDelay_ms(): number;
  startDelay_ms(): number;
  backoff_ms(): number;
  /** A replica that takes connections. */
  pickReplica(): Replica | undefined;
  calm(): void;
}

export function createChaos(random: Random, replicas: readonly Replica[]): Chaos {
  let isCalm = false;
  /** Mostly short, now and then long. */
  const skewed = (usual_ms: number, longest_ms: number) =>
    !isCalm && random(20) === 0 ? random(longest_ms) : random(usual_ms);
  const hits = (percent: number) => !isCalm && random(1000) < percent * 10;
  const pick = <T>(values: readonly T[]) => values[random(values.length)]!;
  return {
    below: random,
    hits,
    pick,
    fateOfStatement: (reads) => (hits(reads ? 0.3 : 3) ? pick(["not sent", "not answered"]) : "done"),
    statementDelay_ms: () => skewed(8, 400),
    answerDelay_ms: () => skewed(4, 200),
    lastsBeyondCrash: () => random(2) === 0,
    linkDelay_ms: () => skewed(10, 1500),
    losesWhatIsUnderWay: () => hits(50),
    noticeDelay_ms: () => skewed(500, 10_000),
    diskDelay_ms: () => skewed(10, 500),
    startDelay_ms: () => skewed(20, 1000),
    backoff_ms: () => 50 + random(1000),
    pickReplica() {
      const up = replicas.filter((one) => one.isUp);
      return up.length > 0 ? pick(up) : undefined;
    },
    calm() {
      isCalm = true;
    },
  };
}
