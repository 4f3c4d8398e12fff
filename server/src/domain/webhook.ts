/* Which events a webhook hears, and what becomes of a delivery after a request: pure. */

/** What can happen to what: every type of event. `webhook.test` is sent on request alone. */
const happenings = {
  run: ["queued", "running", "succeeded", "failed", "cancelled"],
  job: ["queued", "running", "succeeded", "failed", "cancelled", "skipped"],
  runner: ["registered", "enrolled", "offline", "active", "paused", "draining", "locked", "deleted"],
} as const;

/** Every type of event, as `<noun>.<what happened>`. */
export const eventTypes: readonly string[] = Object.entries(happenings).flatMap(([noun, verbs]) =>
  verbs.map((verb) => `${noun}.${verb}`),
);

/** What a webhook listens to; what is empty narrows nothing. */
export type WebhookFilter = {
  projectId: string | null;
  events: readonly string[];
  labels: Readonly<Record<string, string>>;
};

/** What happened, as far as filters look at it. */
export type EventFacts = { type: string; projectId: string; labels: Readonly<Record<string, string>> };

/** Patterns that no event fits; a half may be `*`, for any. */
export function unknownPatterns(patterns: readonly string[]): string[] {
  return patterns.filter((pattern) => !eventTypes.some((type) => fits(pattern, type)));
}

/** Whether a webhook is to be told of an event: all that its filter narrows must fit. */
export function hearsEvent({ projectId, events, labels }: WebhookFilter, event: EventFacts): boolean {
  if (projectId !== null && projectId !== event.projectId) return false;
  if (events.length > 0 && !events.some((pattern) => fits(pattern, event.type))) return false;
  return Object.entries(labels).every(
    ([key, value]) => Object.hasOwn(event.labels, key) && event.labels[key] === value,
  );
}

function fits(pattern: string, type: string): boolean {
  const [noun, verb] = type.split(".");
  const [wantedNoun, wantedVerb] = pattern.split(".");
  return (wantedNoun === "*" || wantedNoun === noun) && (wantedVerb === "*" || wantedVerb === verb);
}

/** What is signed and sent of an event: JSON. */
export function webhookBody(type: string, time: Date, data: unknown): string {
  return JSON.stringify({ type, timestamp: time.toISOString(), data });
}

/** What a request came to: an answer, or why there was none. */
export type Sent = { status: number } | { error: string };

export type DeliveryPolicy = {
  /** Before the second try of a delivery; before each further one four times as long, up to `longestWait_ms`. */
  firstRetry_ms: number;
  /** A webhook that takes nothing for so long is switched off. */
  disableAfter_ms: number;
  /** From 0 to 1: spreads what failed together. */
  random: () => number;
};

/** Where a delivery and its webhook stand before the outcome is written. */
export type Standing = { tries: number; failures: number; failing_ms: number };

export type DeliveryOutcome =
  | { state: "delivered"; status: number }
  | {
      state: "waiting" | "failed";
      status: number;
      error: string;
      /** Until the delivery's next try. */
      wait_ms: number;
      /** Until anything is sent to the webhook again: who does not answer is asked seldom. */
      hold_ms: number;
      /** Why the webhook is switched off; undefined: it stays on. */
      disableReason: string | undefined;
    };

/** After so many a delivery is given up. */
export const maximumTries = 10;
const longestWait_ms = 6 * 3_600_000;
/** Of `firstRetry_ms`. */
const longestHold = 12;
const gone = 410;

/** What follows of a request; `tries` and `failures` are those before it. */
export function decideDelivery(sent: Sent, standing: Standing, policy: DeliveryPolicy): DeliveryOutcome {
  const status = "status" in sent ? sent.status : 0;
  if (status >= 200 && status <= 299) return { state: "delivered", status };
  const { firstRetry_ms, disableAfter_ms, random } = policy;
  const spread = 0.8 + 0.4 * random();
  const isLast = standing.tries + 1 >= maximumTries;
  const error = "error" in sent ? sent.error : answerError(sent.status);
  return {
    state: isLast ? "failed" : "waiting",
    status,
    error,
    wait_ms: Math.round(Math.min(firstRetry_ms * 4 ** standing.tries, longestWait_ms) * spread),
    hold_ms: Math.round(Math.min((firstRetry_ms / 4) * 2 ** standing.failures, firstRetry_ms * longestHold) * spread),
    disableReason: disableReason(status, error, standing.failing_ms >= disableAfter_ms),
  };
}

function answerError(status: number): string {
  if (status >= 300 && status <= 399) return `the receiver answered ${status}: redirects are not followed`;
  return `the receiver answered ${status}`;
}

function disableReason(status: number, error: string, isTooLong: boolean): string | undefined {
  if (status === gone) return `the receiver answered ${gone}: it wants no more`;
  return isTooLong ? `nothing was taken for too long; at last: ${error}` : undefined;
}
