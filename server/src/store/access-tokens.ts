import type { PendingQuery, Row } from "postgres";
import type { SqlOrTransaction } from "./database.ts";
import { cut, decodeCursor, type Page } from "./paging.ts";

export type AccessToken = {
  id: string;
  name: string;
  scopes: string[];
  createTime: Date;
  expireTime: Date | null;
  useTime: Date | null;
  revokeTime: Date | null;
};

const columns = (
  sql: SqlOrTransaction,
) => sql`id, name, scopes, create_time as "createTime", expire_time as "expireTime",
  use_time as "useTime", revoke_time as "revokeTime"`;

/** Stores the hash of a token; the token itself is never stored (I6). */
export async function insertAccessToken(
  sql: SqlOrTransaction,
  token: {
    id: string;
    userId: string;
    name: string;
    hash: Uint8Array;
    scopes: readonly string[];
    expireTime: Date | null;
  },
): Promise<AccessToken> {
  const [row] = await sql<AccessToken[]>`
    insert into access_token (id, user_id, name, hash, scopes, expire_time)
    values (${token.id}, ${token.userId}, ${token.name}, ${token.hash}, ${[...token.scopes]}, ${token.expireTime})
    returning ${columns(sql)}`;
  return row!;
}

/** The live token with this hash and its user. */
export async function findLiveAccessToken(sql: SqlOrTransaction, hash: Uint8Array) {
  const [row] = await sql<
    {
      tokenId: string;
      scopes: string[];
      expireTime: Date | null;
      userId: string;
      userName: string;
      clusterAdmin: boolean;
    }[]
  >`
    select t.id as "tokenId", t.scopes, t.expire_time as "expireTime", u.id as "userId", u.name as "userName", u.cluster_admin as "clusterAdmin"
    from access_token t join app_user u on u.id = t.user_id
    where t.hash = ${hash} and t.revoke_time is null and (t.expire_time is null or t.expire_time > now())`;
  return row;
}

/** How the token with this hash ended, or will. */
export async function findEndedAccessToken(sql: SqlOrTransaction, hash: Uint8Array) {
  const [row] = await sql<{ expireTime: Date | null; revokeTime: Date | null }[]>`
    select expire_time as "expireTime", revoke_time as "revokeTime" from access_token where hash = ${hash}`;
  return row;
}

/** Notes that a token was used, at most once a minute. */
export async function touchAccessToken(sql: SqlOrTransaction, id: string): Promise<void> {
  await sql`update access_token set use_time = now() where id = ${id} and (use_time is null or use_time < now() - interval '1 minute')`;
}

/** The caller's own, newest first. */
export async function listAccessTokens(sql: SqlOrTransaction, userId: string, page: Page) {
  const before = decodeCursor(page.token, "access_token");
  const rows = await sql<(AccessToken & { position: string })[]>`
    select ${columns(sql)}, (extract(epoch from create_time) * 1000000)::bigint::text as position from access_token
    where user_id = ${userId} and (${before ?? null}::bigint is null or (extract(epoch from create_time) * 1000000)::bigint < ${before ?? null}::bigint)
    order by create_time desc limit ${page.size + 1}`;
  return cut("access_token", rows, page, ({ position }) => position);
}

/** What a reference to one of the user's tokens may mean: exact id; else the name of one that is not revoked; else an id prefix, or the name of the one that was revoked last. */
export async function findOwnAccessTokens(
  sql: SqlOrTransaction,
  userId: string,
  reference: string,
): Promise<AccessToken[]> {
  const own = (condition: PendingQuery<Row[]>) => sql<AccessToken[]>`
    select ${columns(sql)} from access_token where user_id = ${userId} and ${condition} order by create_time desc limit 5`;
  const exact = await own(sql`id = ${reference}`);
  if (exact.length > 0) return exact;
  const named = await own(sql`name = ${reference} and revoke_time is null`);
  if (named.length > 0) return named;
  if (reference.startsWith("tok_")) return own(sql`starts_with(id, ${reference})`);
  const revoked = await own(sql`name = ${reference} and revoke_time is not null`);
  return revoked.slice(0, 1);
}

/** A token that is revoked already keeps its first time. */
export async function revokeAccessToken(sql: SqlOrTransaction, id: string): Promise<AccessToken> {
  const [row] = await sql<
    AccessToken[]
  >`update access_token set revoke_time = coalesce(revoke_time, now()) where id = ${id} returning ${columns(sql)}`;
  return row!;
}

/** Deletes at most `limit` tokens that expired or were revoked so long ago; answers how many. */
export async function sweepAccessTokens(sql: SqlOrTransaction, keep_ms: number, limit: number): Promise<number> {
  const { count } = await sql`
    delete from access_token where id in (
      select id from access_token
      where least(expire_time, revoke_time) < now() - ${keep_ms}::float8 * interval '1 millisecond' limit ${limit})`;
  return count;
}
