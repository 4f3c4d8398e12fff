import type { Sql } from "../../server/src/store/database.ts";
import { gated, isStatement } from "./gated-sql.ts";

/**
 * The pool, and how often whoever uses it waited for the database so far: statements that were sent together count once, and a
 * transaction's beginning and end do not count.
 */
export function countRoundTrips(pool: Sql): { sql: Sql; trips: () => number } {
  let trips = 0;
  let underWay = 0;
  const counted = <S extends object>(connection: S): S =>
    new Proxy(connection, {
      apply(target, _this, args: unknown[]) {
        const made: unknown = Reflect.apply(target as unknown as (...all: unknown[]) => unknown, undefined, args);
        return isStatement(args[0]) ? gated(made as Promise<unknown>, trip) : made;
      },
      get(target, name) {
        if (name === "begin") return (run: Parameters<Sql["begin"]>[1]) => pool.begin((inner) => run(counted(inner)));
        return Reflect.get(target, name) as unknown;
      },
    });
  const trip = async (run: () => Promise<unknown>) => {
    if (underWay++ === 0) trips++;
    return run().finally(() => underWay--);
  };
  return { sql: counted(pool), trips: () => trips };
}
