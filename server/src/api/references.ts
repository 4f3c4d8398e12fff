import { decideAccess, defaultOrganization, type RequiredRole, type Scope, type UserCaller } from "../domain/access.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import { findArtifacts, type ArtifactRow } from "../store/artifacts.ts";
import { findJobs, type JobRow } from "../store/jobs.ts";
import { findOwnAccessTokens, type AccessToken } from "../store/access-tokens.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import { findOrganizations, getOrganization, type Organization } from "../store/organizations.ts";
import { findProjects, type Project } from "../store/projects.ts";
import { findRuns, type RunRow } from "../store/runs.ts";
import { findRunners, scopeOf, type RunnerRow } from "../store/runners.ts";
import { findTriggers, type TriggerRow } from "../store/triggers.ts";
import { findWebhooks, type WebhookRow } from "../store/webhooks.ts";
import { findUsers, type User } from "../store/users.ts";
import { findWorkloads, type WorkloadRow } from "../store/workloads.ts";

/*
 * What people type to mean a thing: its exact id, else its name in the chosen organization, else its name in the cluster, else a unique
 * prefix of its id. What the caller cannot see is not there (I7).
 */

/** Per caller, the lookups that have been asked for in this turn of the event loop and not begun yet. */
const organizationLookups = new WeakMap<UserCaller, Map<string, Promise<Organization>>>();

/**
 * The organization meant; empty means the caller's default one. Of a caller's many calls at once one lookup answers all
 * that were made before it began, so each sees what was committed before it.
 */
export function resolveOrganization(sql: Sql, caller: UserCaller, reference: string): Promise<Organization> {
  const lookups = organizationLookups.get(caller) ?? new Map<string, Promise<Organization>>();
  organizationLookups.set(caller, lookups);
  const known = lookups.get(reference);
  if (known) return known;
  const lookup = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
    lookups.delete(reference);
    return findOrganization(sql, caller, reference);
  });
  lookups.set(reference, lookup);
  return lookup;
}

/** The same without a lookup, as it was when the caller was looked up; `undefined` where only a lookup tells. */
export function rememberedOrganization({ memberships }: UserCaller, reference: string): Organization | undefined {
  const membership =
    reference === ""
      ? defaultOrganization(memberships)
      : memberships.find(({ organizationId }) => organizationId === reference);
  if (!membership) return undefined;
  const { organizationId: id, organizationName: name, personalUserId, createTime, updateTime } = membership;
  return { id, name, personalUserId, createTime, updateTime };
}

async function findOrganization(sql: Sql, caller: UserCaller, reference: string): Promise<Organization> {
  if (reference === "") {
    const membership = defaultOrganization(caller.memberships);
    const found = membership && (await getOrganization(sql, membership.organizationId));
    if (found) return found;
    const names = caller.memberships.map((one) => one.organizationName).join(", ");
    throw invalidField(
      "organization",
      names === "" ? "you belong to no organization" : `say which one is meant: ${names}`,
    );
  }
  const candidates = await findOrganizations(sql, reference, caller.clusterAdmin ? undefined : caller.userId);
  return oneOf("organization", reference, candidates);
}

/** The runner meant. */
export async function resolveRunner(
  sql: Sql,
  caller: UserCaller,
  reference: string,
  organizationId: string | undefined,
): Promise<RunnerRow> {
  const candidates = await findRunners(sql, reference, organizationId);
  return oneOf(
    "runner",
    reference,
    candidates.filter((one) => decideAccess(caller, "viewer", scopeOf(one)) === "allowed"),
  );
}

/** A thing of an organization, and what tells several of them apart. */
type Owned = { id: string; organizationId: string; name: string };
type Find<T extends Owned> = (sql: Sql, reference: string, organizationId: string | undefined) => Promise<T[]>;

function resolveOwned<T extends Owned>(noun: string, find: Find<T>) {
  return async (sql: Sql, caller: UserCaller, reference: string, organizationId: string | undefined): Promise<T> => {
    const candidates = await find(sql, reference, organizationId);
    return oneOf(
      noun,
      reference,
      candidates.filter((one) => isMember(caller, one.organizationId)),
    );
  };
}

/** The workload, project, run, job, trigger, webhook or artifact meant. */
export const resolveWorkload = resolveOwned<WorkloadRow>("workload", findWorkloads);
export const resolveProject = resolveOwned<Project>("project", findProjects);
export const resolveRun = resolveOwned<RunRow>("run", findRuns);
export const resolveJob = resolveOwned<JobRow>("job", findJobs);
export const resolveTrigger = resolveOwned<TriggerRow>("trigger", findTriggers);
export const resolveWebhook = resolveOwned<WebhookRow>("webhook", findWebhooks);
export const resolveArtifact = resolveOwned<ArtifactRow>("artifact", findArtifacts);
/** The project meant, of the organization that a call is about: one of another of the caller's is not there. `undefined` for "". */
export async function resolveProjectOf(
  sql: Sql,
  caller: UserCaller,
  reference: string,
  organizationId: string,
): Promise<Project | undefined> {
  if (reference === "") return undefined;
  const project = await resolveProject(sql, caller, reference, organizationId);
  if (project.organizationId !== organizationId) throw notFound("project", reference);
  return project;
}

/** The user meant. */
export async function resolveUser(sql: SqlOrTransaction, caller: UserCaller, reference: string): Promise<User> {
  return oneOf("user", reference, await findUsers(sql, reference, caller.clusterAdmin ? undefined : caller.userId));
}

/** The caller's access token meant. */
export async function resolveOwnAccessToken(
  sql: SqlOrTransaction,
  caller: UserCaller,
  reference: string,
): Promise<AccessToken> {
  return oneOf("access token", reference, await findOwnAccessTokens(sql, caller.userId, reference));
}

/** What a role is asked for: where it belongs, and how the caller named it. */
export type Thing = { scope: Scope; noun: string; reference: string };

/** Throws where the caller lacks the role: `NOT_FOUND` where it must not even know of the thing. */
export function demandRole(caller: UserCaller, role: RequiredRole, thing: Thing): void {
  const { scope, noun, reference } = thing;
  const decision = decideAccess(caller, role, scope);
  if (decision === "hidden") throw notFound(noun, reference);
  if (decision === "denied") {
    const where = scope.kind === "cluster" ? "the cluster" : "the organization";
    const needed = scope.kind === "cluster" ? "cluster_admin" : role;
    throw new AgynError("PERMISSION_DENIED", `this needs the role ${needed.replace("_", " ")} in ${where}`, {
      metadata: { role: needed },
    });
  }
}

function isMember(caller: UserCaller, organizationId: string): boolean {
  return caller.memberships.some((one) => one.organizationId === organizationId);
}

function oneOf<T extends { id: string; name: string }>(noun: string, reference: string, candidates: readonly T[]): T {
  const [first] = candidates;
  if (!first) throw notFound(noun, reference);
  if (candidates.length === 1) return first;
  const list = candidates.map((one) => (one.name === "" ? one.id : `${one.id} (${one.name})`)).join(", ");
  throw new AgynError("AMBIGUOUS_REFERENCE", `"${reference}" fits several ${noun}s: ${list}`, {
    metadata: { candidates: list },
  });
}
