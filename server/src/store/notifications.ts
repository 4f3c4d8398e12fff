import type { Logger } from "pino";
import type { Sql } from "./database.ts";

/** What replicas tell each other. A message only says where to look; what counts is in the tables. */
export type Topic =
  | "pending"
  | "deliver"
  | "runners"
  | "workloads"
  | "revocations"
  | "seals"
  | "runs"
  | "deliveries"
  | "webhooks";

/** Signals between replicas: sent after commit, coalesced, and only a hint (a poll stands behind each). */
export interface Notifications {
  /** Whether another replica has been heard since the start. */
  readonly hearsOthers: boolean;
  /** Tells the other replicas. */
  send(topic: Topic): void;
  /** Hears the other replicas, and this one. */
  on(topic: Topic, listener: () => void): void;
  close(): Promise<void>;
}

const channel = "agyn";
const coalesce_ms = 3;
/** Between two notifications: each takes a lock that all of the database's share, and is a commit of its own. */
const spacing_ms = 25;

/** Does not wait for the disk: a hint that a crash takes with it is no loss. */
async function notify(sql: Sql, payload: string): Promise<void> {
  await sql`
    with quick as materialized (select set_config('synchronous_commit', 'off', true))
    select pg_notify(${channel}, ${payload}) from quick`;
}

/** Listens on a connection of its own. A dropped one is made again by the driver, and everything is signalled once. */
export async function openNotifications(sql: Sql, replicaId: string, log: Logger): Promise<Notifications> {
  const listeners = new Map<string, (() => void)[]>();
  const outgoing = new Set<Topic>();
  let timer: NodeJS.Timeout | undefined;
  let sent_ms = -Infinity;
  let closed = false;
  let hearsOthers = false;
  const tell = (topic: string) => {
    for (const listener of listeners.get(topic) ?? []) listener();
  };
  const subscription = await sql.listen(
    channel,
    (payload) => {
      const [sender, ...topics] = payload.split(" ");
      if (sender === replicaId) return;
      hearsOthers = true;
      for (const topic of topics) tell(topic);
    },
    () => {
      for (const topic of listeners.keys()) tell(topic);
    },
  );
  const flush = () => {
    timer = undefined;
    sent_ms = performance.now();
    const payload = [replicaId, ...outgoing].join(" ");
    outgoing.clear();
    notify(sql, payload).catch((error: unknown) => log.warn({ err: error }, "notification not sent"));
  };
  return {
    get hearsOthers() {
      return hearsOthers;
    },
    send(topic) {
      if (closed) return;
      outgoing.add(topic);
      timer ??= setTimeout(flush, Math.max(coalesce_ms, sent_ms + spacing_ms - performance.now()));
    },
    on(topic, listener) {
      listeners.set(topic, [...(listeners.get(topic) ?? []), listener]);
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await subscription.unlisten();
    },
  };
}
