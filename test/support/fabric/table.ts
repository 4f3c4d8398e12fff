import { randomBytes } from "node:crypto";

/** What every record of the controller has. Names, where there are any, are unique in their table. */
export interface Entity {
  readonly id: string;
  readonly name?: string;
  readonly createdAt: Date;
  updatedAt: Date;
  tags: Record<string, unknown>;
}

/** Records of one kind, in the order in which they were made. */
export interface Table<T extends Entity> {
  /** Its name in paths, such as `service-policies`. */
  readonly name: string;
  get(id: string): T | undefined;
  find(match: (entity: T) => boolean): T | undefined;
  all(): T[];
  /** Inserts a record; its id is made unless given. Throws a `NameTaken`. */
  insert(fields: Draft<T>): T;
  /** Changes fields of a record that is there. Throws a `NameTaken`. */
  update(entity: T, fields: Partial<Draft<T>>): void;
  /** Removes a record; whether it was there. */
  delete(id: string): boolean;
}

/** A record without what the table itself sets. */
export type Draft<T extends Entity> = Omit<T, keyof Entity> &
  Pick<T, Extract<"name", keyof T>> & { readonly id?: string; readonly tags?: Record<string, unknown> };

/** Another record of the table has this name. */
export class NameTaken extends Error {
  override readonly name = "NameTaken";
  readonly value: string;

  constructor(value: string) {
    super(`the name ${value} is taken`);
    this.value = value;
  }
}

/** What a write did to a table. */
export type Write = "insert" | "update" | "delete";

/** Makes an empty table; `changed` hears of every write, after it. */
export function createTable<T extends Entity>(
  name: string,
  now: () => Date,
  changed: (write: Write) => void,
): Table<T> {
  const rows = new Map<string, T>();
  const claim = (value: string | undefined, except?: T) => {
    if (value === undefined) return;
    for (const row of rows.values()) if (row !== except && row.name === value) throw new NameTaken(value);
  };
  return {
    name,
    get: (id) => rows.get(id),
    find: (match) => [...rows.values()].find(match),
    all: () => [...rows.values()],
    insert(fields) {
      claim(nameOf(fields));
      const at = now();
      // The table adds exactly the fields that a draft lacks.
      const row = { id: createEntityId(), tags: {}, ...fields, createdAt: at, updatedAt: at } as unknown as T;
      rows.set(row.id, row);
      changed("insert");
      return row;
    },
    update(entity, fields) {
      claim(nameOf(fields), entity);
      Object.assign(entity, fields, { updatedAt: now() });
      changed("update");
    },
    delete(id) {
      const found = rows.delete(id);
      if (found) changed("delete");
      return found;
    },
  };
}

/** An id in the manner of the controller: short, of letters and digits. */
export function createEntityId(): string {
  return randomBytes(8).toString("base64url").replaceAll(/[-_]/g, "x");
}

function nameOf(fields: object): string | undefined {
  return "name" in fields && typeof fields.name === "string" ? fields.name : undefined;
}
