/** What every changing record has: its id, and the transaction of its last change. */
export type Changing = { id: string; changeXid: string };

export type ChangeBatch<Row> = {
  rows: readonly Row[];
  /** Everything that was changed before this transaction has been handed out. */
  horizon: string;
};

/** Reads what changed since the last read. */
export interface ChangeReader<Row> {
  /** Where the next read begins: what was changed before has been handed out. */
  readonly cursor: string;
  read(): Promise<ChangeBatch<Row>>;
}

/**
 * Follows records by the transactions that changed them. A change is handed out as soon as it is visible, and the cursor moves only to
 * the oldest transaction still under way: so neither is a late commit missed, nor does somebody's long transaction hold back what is
 * there. What lies beyond the cursor is read again, and handed out again only if it changed again.
 */
export function createChangeReader<Row extends Changing>(
  start: string,
  getHorizon: () => Promise<string>,
  listChanged: (from: string) => Promise<readonly Row[]>,
): ChangeReader<Row> {
  let cursor = start;
  let seen = new Map<string, string>();
  return {
    get cursor() {
      return cursor;
    },
    async read() {
      const horizon = await getHorizon();
      const found = await listChanged(cursor);
      const rows = found.filter((row) => seen.get(row.id) !== row.changeXid);
      cursor = horizon;
      seen = new Map(
        found.filter((row) => BigInt(row.changeXid) >= BigInt(horizon)).map((row) => [row.id, row.changeXid]),
      );
      return { rows, horizon };
    },
  };
}
