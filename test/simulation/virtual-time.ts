import { vi } from "vitest";
import type { Sql } from "../../server/src/store/database.ts";

/*
 * One clock for everything: timers, `Date` and the monotonic clock of this process are vitest's, and the database's `now()` reads a
 * sequence that is set before each statement. Nothing happens but by a timer, and one timer runs at a time: so the order of events
 * is the order of timers, and a seed that draws every delay draws the whole history.
 */

/** The clock of a simulation. */
export interface VirtualTime extends Disposable {
  /** Runs the next timer, and waits until nothing that follows from it is under way. */
  step(): Promise<void>;
  /** Waits until nothing is under way. */
  rest(): Promise<void>;
  /** Runs real input or output, which is over before the next timer runs. */
  underWay<T>(run: () => Promise<T>): Promise<T>;
  /** Says that something was handed on, so that what follows from it is waited for. */
  stir(): void;
}

/** In real time: by then everything that follows from one timer has happened. */
const restLimit_ms = 20_000;
const start = Date.UTC(2026, 0, 1);
/** What one timer leads to takes at most two turns of the event loop from one thing handed on to the next. */
const quietTurns = 4;

export function openVirtualTime(): VirtualTime {
  const realNow_ms = () => Number(process.hrtime.bigint() / 1_000_000n);
  const { setTimeout: setRealTimeout, clearTimeout: clearRealTimeout } = globalThis;
  vi.useFakeTimers({
    now: start,
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"],
  });
  const running = new Set<Promise<unknown>>();
  let stirred = 0;
  const rest = async () => {
    const limit_ms = realNow_ms() + restLimit_ms;
    for (let quiet = 0; quiet < quietTurns;) {
      const before = stirred;
      if (running.size > 0) await settled();
      await new Promise<void>((resolve) => void setImmediate(resolve));
      if (realNow_ms() > limit_ms) throw new Error(`nothing comes to rest within ${restLimit_ms} ms`);
      quiet = stirred === before && running.size === 0 ? quiet + 1 : 0;
    }
  };
  const settled = async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setRealTimeout(resolve, restLimit_ms);
    await Promise.race([Promise.allSettled(running), promise]);
    clearRealTimeout(timer);
  };
  return {
    rest,
    async step() {
      vi.advanceTimersToNextTimer();
      await rest();
    },
    async underWay(run) {
      stirred += 1;
      const promise = run();
      running.add(promise);
      try {
        return await promise;
      } finally {
        stirred += 1;
        running.delete(promise);
      }
    },
    stir() {
      stirred += 1;
    },
    [Symbol.dispose]() {
      vi.useRealTimers();
    },
  };
}

/** Puts the database on virtual time for the connections to come. */
export async function putOnVirtualTime(sql: Sql): Promise<void> {
  await sql.unsafe(`
    create schema simulation;
    create unlogged sequence simulation.clock minvalue 0;
    create function simulation.now() returns timestamptz language sql stable
      as 'select to_timestamp(last_value / 1000.0) from simulation.clock';
    create function simulation.clock_timestamp() returns timestamptz language sql stable
      as 'select simulation.now()';
    do $$ declare stamped record; begin
      for stamped in select table_name, column_name from information_schema.columns
        where table_schema = 'public' and column_default = 'now()'
      loop
        execute format('alter table %I alter %I set default simulation.now()', stamped.table_name, stamped.column_name);
      end loop;
      execute format('alter database %I set search_path = simulation, pg_catalog, public', current_database());
      -- This PostgreSQL is not killed, so nothing is gained by waiting for its disk.
      execute format('alter database %I set synchronous_commit = off', current_database());
    end $$;
    update leader set renew_time = to_timestamp(0), expire_time = to_timestamp(0);`);
}

/** What sets the database's clock to this process's. */
export function createDatabaseClock(sql: Sql): () => Promise<void> {
  let set = -1;
  return async () => {
    const now = Date.now();
    if (now === set) return;
    set = now;
    await sql`select setval('simulation.clock', ${now})`;
  };
}
