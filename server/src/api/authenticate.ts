import type { Caller, UserCaller } from "../domain/access.ts";
import { AgynError } from "../domain/errors.ts";
import { parseAccessToken } from "../identity/access-token.ts";
import { findEndedAccessToken, findLiveAccessToken, touchAccessToken } from "../store/access-tokens.ts";
import type { Sql } from "../store/database.ts";
import { listMemberships } from "../store/organizations.ts";

/** The most callers that are remembered at once. */
const maximumCallers = 10_000;

type Found = { caller: UserCaller; expireTime: Date | null };
type Lookup = { start_ms: number; found: Promise<Found>; isRenewed: boolean };

/**
 * The caller behind an `authorization` header. `fresh` looks even where the caller is remembered: for who was refused what a role of the
 * last moment may allow.
 */
export type Authenticate = (authorization: string | null, options?: { fresh: boolean }) => Promise<Caller>;

/**
 * Finds the user behind an `authorization` header; `null` is anonymous, anything but a live token is `UNAUTHENTICATED`. A caller that was
 * found is remembered for at most `cache_ms` from the moment it was looked for, so that a revoked token, a lost role or a deleted user is
 * refused everywhere that much later at most. Who calls on and on is looked for anew at half that time, and waits for it no more.
 */
export function createAuthenticator(deps: { sql: Sql; cache_ms: number }): Authenticate {
  const lookups = new Map<string, Lookup>();

  const look = (hash: Uint8Array): Lookup => ({
    start_ms: performance.now(),
    found: findCaller(deps.sql, hash),
    isRenewed: false,
  });
  const keep = (key: string, lookup: Lookup) => {
    lookups.delete(key);
    lookups.set(key, lookup);
    if (lookups.size > maximumCallers) lookups.delete(lookups.keys().next().value!);
  };
  const forget = (key: string, lookup: Lookup) => {
    if (lookups.get(key) === lookup) lookups.delete(key);
  };
  const remember = (key: string, hash: Uint8Array): Lookup => {
    const lookup = look(hash);
    keep(key, lookup);
    lookup.found.catch(() => forget(key, lookup));
    return lookup;
  };
  /** Takes the place of what is known once somebody is found; where nobody is, the next call hears why. */
  const renew = async (key: string, hash: Uint8Array, known: Lookup) => {
    known.isRenewed = true;
    const lookup = look(hash);
    try {
      await lookup.found;
      if (lookups.get(key) === known) keep(key, lookup);
    } catch {
      forget(key, known);
    }
  };

  return async (authorization, options) => {
    if (authorization === null) return { kind: "anonymous" };
    const hash = hashOf(authorization);
    const key = Buffer.from(hash).toString("base64");
    const known = lookups.get(key);
    const age_ms = known ? performance.now() - known.start_ms : Infinity;
    const isGood = known && !options?.fresh && age_ms < deps.cache_ms;
    if (isGood && age_ms > deps.cache_ms / 2 && !known.isRenewed) void renew(key, hash, known);
    const { caller, expireTime } = await (isGood ? known : remember(key, hash)).found;
    if (expireTime && expireTime.getTime() <= Date.now()) throw expired(expireTime);
    return caller;
  };
}

function hashOf(authorization: string): Uint8Array {
  const text = /^bearer +(.*)$/i.exec(authorization)?.[1];
  if (text === undefined) throw refused("the authorization header is not of the form `Bearer agyn_pat_…`");
  const parsed = parseAccessToken(text);
  if ("error" in parsed) throw refused(parsed.error);
  return parsed.hash;
}

async function findCaller(sql: Sql, hash: Uint8Array): Promise<Found> {
  const token = await findLiveAccessToken(sql, hash);
  if (!token) throw await whyNot(sql, hash);
  const { userId, userName, clusterAdmin, tokenId, scopes, expireTime } = token;
  const [memberships] = await Promise.all([listMemberships(sql, userId), touchAccessToken(sql, tokenId)]);
  return { caller: { kind: "user", userId, userName, clusterAdmin, tokenId, scopes, memberships }, expireTime };
}

/** Only who holds the whole token learns how it ended. */
async function whyNot(sql: Sql, hash: Uint8Array): Promise<AgynError> {
  const token = await findEndedAccessToken(sql, hash);
  if (token?.revokeTime) return refused(`the access token was revoked at ${token.revokeTime.toISOString()}`);
  if (token?.expireTime) return expired(token.expireTime);
  return refused("the access token is not known here: it is of another cluster, or its user was deleted");
}

function expired(time: Date): AgynError {
  return refused(`the access token expired at ${time.toISOString()}`);
}

function refused(message: string): AgynError {
  return new AgynError("UNAUTHENTICATED", message);
}
