import type { Sql } from "../../server/src/store/database.ts";

/** Lets a statement, or a whole transaction, through when its time has come. `reads`: it changes nothing. */
export type Gate = <T>(run: () => Promise<T>, reads: boolean) => Promise<T>;

/** LISTEN and NOTIFY, which the simulation delivers itself. */
export type Signals = Pick<Sql, "listen" | "notify">;

/** The pool as one replica has it: whatever it sends goes through the gate. */
export function gateSql(pool: Sql, gate: Gate, signals: Signals): Sql {
  return new Proxy(pool, {
    apply(_target, _this, args: Parameters<Sql>) {
      const made = pool(...args);
      if (!isStatement(args[0])) return made;
      const reads = args[0][0]!.trimStart().startsWith("select");
      return gated(made, (run) => gate(run, reads));
    },
    get(_target, name) {
      if (name === "listen") return signals.listen;
      if (name === "notify") return signals.notify;
      if (name === "begin") return (run: Parameters<Sql["begin"]>[1]) => gate(async () => pool.begin(run), false);
      return Reflect.get(pool, name) as unknown;
    },
  });
}

export function isStatement(first: unknown): first is TemplateStringsArray {
  return Array.isArray(first) && "raw" in first;
}

/** A query runs when it is first awaited; one that is only a part of another never is. */
export function gated(query: Promise<unknown>, gate: (run: () => Promise<unknown>) => Promise<unknown>): unknown {
  const send = query.then.bind(query);
  let sent: Promise<unknown> | undefined;
  const run = () => (sent ??= gate(() => new Promise((resolve, reject) => void send(resolve, reject))));
  return new Proxy(query, {
    get(_target, name) {
      if (name === "then" || name === "catch" || name === "finally") {
        const promise = run();
        return promise[name].bind(promise);
      }
      return Reflect.get(query, name) as unknown;
    },
  });
}
