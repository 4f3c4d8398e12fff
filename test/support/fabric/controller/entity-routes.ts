import type { z } from "zod";
import { adminOf } from "./api-sessions.ts";
import { bodyOf, notFound, type Answer, type Body, type Call, type Route } from "./http.ts";
import { listAnswer, roleQuery } from "./lists.ts";
import type { ControllerState } from "../state.ts";
import type { Draft, Entity, Table } from "../table.ts";

export const base = "/edge/management/v1";

/** How administrators see one kind of record, and what they may do with it. */
export interface Kind<T extends Entity> {
  readonly table: Table<T>;
  /** The fields that lists can be filtered and sorted by, beside those of every record. */
  readonly symbols: readonly string[];
  /** Which records exist for administrators; all, by default. */
  isShown?(entity: T): boolean;
  toJson(entity: T): object;
  /** What POST takes, and how it makes a record of it. */
  readonly create?: Maker<T>;
  /** What PATCH takes. `prepare` refuses what cannot be, and may add what follows. */
  readonly patch?: Changer<T>;
  /** Removes a record with what hangs on it; refuses what is still needed. */
  remove?(entity: T): void;
}

/** Ties a schema to what is made of its fields. */
export type Maker<T extends Entity> = (call: Call) => Draft<T> | Promise<Draft<T>>;
export type Changer<T extends Entity> = (call: Call, entity: T) => Partial<Draft<T>>;

/** Reads the body by `schema` and makes a record's fields of it. */
export function making<T extends Entity, S extends z.ZodType>(
  schema: S,
  make: (fields: Body<S>) => Draft<T>,
): Maker<T> {
  return (call) => make(bodyOf(call, schema));
}

/** Reads the body by `schema` and makes of it what changes. */
export function changing<T extends Entity, S extends z.ZodType>(
  schema: S,
  change: (fields: Body<S>, entity: T) => Partial<Draft<T>>,
): Changer<T> {
  return (call, entity) => change(bodyOf(call, schema), entity);
}

/** Takes fields as they are, once `check` has let them pass. */
export function checked<C>(check: (fields: C) => void): <F extends C>(fields: F) => F {
  return (fields) => {
    check(fields);
    return fields;
  };
}

/** The calls that a kind of record has: list, get, and what its definition offers. */
export function entityRoutes<T extends Entity>(state: ControllerState, kind: Kind<T>): Route[] {
  const { table } = kind;
  const path = `${base}/${table.name}`;
  const isShown = (entity: T) => kind.isShown?.(entity) ?? true;
  const foundBy = (call: Call): T => {
    adminOf(state, call);
    const entity = table.get(call.params["id"] ?? "");
    if (entity === undefined || !isShown(entity)) throw notFound(`${table.name} ${call.params["id"]}`);
    return entity;
  };
  const list = (call: Call): Answer => {
    adminOf(state, call);
    return listAnswer(call, table.all().filter(isShown).map(kind.toJson), kind.symbols);
  };
  const routes: Route[] = [
    [`GET ${path}`, list, roleQuery],
    [`GET ${path}/:id`, (call) => ({ status: 200, data: kind.toJson(foundBy(call)) })],
  ];
  const { create, patch, remove } = kind;
  if (create !== undefined) routes.push([`POST ${path}`, (call) => post(state, call, { table, create })]);
  if (patch !== undefined) {
    routes.push([
      `PATCH ${path}/:id`,
      (call) => {
        const entity = foundBy(call);
        table.update(entity, patch(call, entity));
        return { status: 200 };
      },
    ]);
  }
  if (remove !== undefined) {
    routes.push([
      `DELETE ${path}/:id`,
      (call) => {
        remove(foundBy(call));
        return { status: 200 };
      },
    ]);
  }
  return routes;
}

/** What a create answers: the id, and where to find it. */
export function created(table: { readonly name: string }, id: string): Answer {
  return { status: 201, data: { id, _links: { self: { href: `./${table.name}/${id}` } } } };
}

async function post<T extends Entity>(
  state: ControllerState,
  call: Call,
  { table, create }: { readonly table: Table<T>; readonly create: Maker<T> },
): Promise<Answer> {
  adminOf(state, call);
  const { id } = table.insert(await create(call));
  return created(table, id);
}
