import { isDeepStrictEqual } from "node:util";
import { getOption, type DescMethod, type Message } from "@bufbuild/protobuf";
import type { ContextValues, Interceptor } from "@connectrpc/connect";
import { access, Plane, Resource, Role, type Access } from "../../../../proto/gen/agyn/options/v1/options_pb.ts";
import type { Scope as ScopeProto } from "../../../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { tokenAllows, type RequiredRole, type Scope, type UserCaller } from "../../domain/access.ts";
import { AgynError } from "../../domain/errors.ts";
import type { Sql } from "../../store/database.ts";
import { scopeOf } from "../../store/runners.ts";
import type { Authenticate } from "../authenticate.ts";
import type { AuthenticateTrigger } from "../authenticate-trigger.ts";
import { callerKey, sourceKey, targetKey, type Target } from "../context.ts";
import type { RunnerCall } from "../runner-check.ts";
import {
  demandRole,
  rememberedOrganization,
  resolveArtifact,
  resolveJob,
  resolveOrganization,
  resolveProject,
  resolveRun,
  resolveRunner,
  resolveTrigger,
  resolveWebhook,
  resolveWorkload,
} from "../references.ts";

const requiredRoles: Record<Role, RequiredRole | undefined> = {
  [Role.UNSPECIFIED]: undefined,
  [Role.PUBLIC]: "public",
  [Role.USER]: "user",
  [Role.VIEWER]: "viewer",
  [Role.MEMBER]: "member",
  [Role.OWNER]: "owner",
  [Role.CLUSTER_ADMIN]: "cluster_admin",
  [Role.RUNNER]: "runner",
  [Role.TRIGGER_TOKEN]: "trigger_token",
};

/** Until then nothing is known of what a stream is about, and nobody but its caller's token bounds it. */
const firstMessageTimeout_ms = 30_000;

type AccessRule = Access & { requiredRole: RequiredRole };

/** Each read of an option decodes it anew. */
const rules = new WeakMap<DescMethod, AccessRule>();

/** The access rule of a method; a method without one is a mistake that stops the server at its start. */
export function accessOf(method: DescMethod): AccessRule {
  const known = rules.get(method) ?? readAccess(method);
  rules.set(method, known);
  return known;
}

function readAccess(method: DescMethod): AccessRule {
  const rule = getOption(method, access);
  const requiredRole = requiredRoles[rule.role];
  if (!requiredRole || rule.plane === Plane.UNSPECIFIED || rule.resource === Resource.UNSPECIFIED) {
    throw new Error(`${method.parent.typeName}.${method.name} has no complete access option`);
  }
  if (requiredRole !== "public" && !/^[a-z_]+\.[a-z_]+$/.test(rule.permission))
    throw new Error(`${method.parent.typeName}.${method.name} names no permission such as runners.read`);
  return { ...rule, requiredRole };
}

export type AccessDeps = {
  sql: Sql;
  plane: Plane;
  /** The caller behind an `authorization` header; throws `UNAUTHENTICATED`. Undefined header: anonymous. */
  authenticate: Authenticate;
  /** The trigger token behind such a header; throws `UNAUTHENTICATED`. */
  authenticateTrigger: AuthenticateTrigger;
  /** How often the caller of a long stream is checked again. */
  recheckPeriod_ms: number;
  /** Refuses a runner whose identity is not live (I5, I12). */
  checkRunner: (call: RunnerCall) => Promise<void>;
};

/** Finds out who calls: the method must be on this listener, the credentials valid, and the token's scopes must carry the permission. */
export function createAuthenticationInterceptor(deps: AccessDeps): Interceptor {
  return (next) => async (request) => {
    const rule = accessOf(request.method);
    if (rule.plane !== deps.plane) throw new AgynError("WRONG_PLANE", `${request.method.name} is not on this listener`);
    if (rule.requiredRole === "public") return next(request);
    if (rule.requiredRole === "runner") {
      const caller = request.contextValues.get(callerKey);
      if (caller.kind !== "runner") throw new AgynError("UNAUTHENTICATED", "a runner's certificate is needed");
      const source = request.contextValues.get(sourceKey);
      await deps.checkRunner({ caller, method: request.method.name, source });
      return next(request);
    }
    if (rule.requiredRole === "trigger_token") {
      request.contextValues.set(callerKey, await deps.authenticateTrigger(request.header.get("authorization")));
      return next(request);
    }
    const caller = await deps.authenticate(request.header.get("authorization"));
    if (caller.kind !== "user") {
      throw new AgynError(
        "UNAUTHENTICATED",
        "an access token is needed: send it as `authorization: Bearer agyn_pat_…`",
      );
    }
    if (!tokenAllows(caller.scopes, rule.permission)) {
      throw new AgynError("TOKEN_SCOPE", `the access token lacks the scope ${rule.permission}`);
    }
    request.contextValues.set(callerKey, caller);
    return next(request);
  };
}

/** Finds what a user's call is about, and lets it through only if the user has the role there. Runs after validation. */
export function createAuthorizationInterceptor(deps: AccessDeps): Interceptor {
  return (next) => async (request) => {
    const caller = request.contextValues.get(callerKey);
    if (caller.kind !== "user") return next(request);
    if (!request.stream) {
      request.contextValues.set(targetKey, await findTargetNow(deps, request, request.message));
      return next(request);
    }
    const [first, messages] = await peek(request.message);
    if (first === undefined) throw new AgynError("INVALID_ARGUMENT", "the stream ended before its first message");
    request.contextValues.set(targetKey, await findTargetNow(deps, request, first));
    // Whoever reads nothing does not hear of a refusal, and must not go on sending after it either.
    const over = new AbortController();
    const signal = AbortSignal.any([request.signal, over.signal]);
    const response = await next({ ...request, message: messages, signal });
    if (!response.stream) return response;
    const recheck = async () => {
      const now = await deps.authenticate(request.header.get("authorization"));
      if (now.kind !== "user") throw new AgynError("UNAUTHENTICATED", "an access token is needed");
      await findTarget(deps.sql, now, request.method, first);
    };
    const onRefused = (error: unknown) => over.abort(error);
    return { ...response, message: whileAllowed(response.message, { recheck, onRefused }, deps.recheckPeriod_ms) };
  };
}

type Check = { recheck: () => Promise<void>; onRefused: (error: unknown) => void };

/** Hands the messages on until a check throws, which ends the stream with what it threw: a revoked token, a lost role. */
async function* whileAllowed<T>(
  messages: AsyncIterable<T>,
  { recheck, onRefused }: Check,
  period_ms: number,
): AsyncIterable<T> {
  const iterator = messages[Symbol.asyncIterator]();
  let refusal: { error: unknown } | undefined;
  let refuse: (error: unknown) => void = () => undefined;
  const end = (error: unknown) => {
    refusal ??= { error };
    refuse(error);
    onRefused(error);
  };
  const timer = setInterval(() => void recheck().catch(end), period_ms);
  try {
    for (;;) {
      const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T>>();
      refuse = reject;
      if (refusal) throw refusal.error;
      iterator.next().then(resolve, reject);
      const result = await promise;
      if (result.done) return;
      yield result.value;
    }
  } finally {
    clearInterval(timer);
    void iterator.return?.();
  }
}

type Call = { method: DescMethod; header: Headers; contextValues: ContextValues };

/** Finds the target; before a remembered user is refused, asks whether the user has a role now: so that who made a thing finds it at once. */
async function findTargetNow(
  deps: AccessDeps,
  { method, header, contextValues }: Call,
  message: Message,
): Promise<Target> {
  const remembered = contextValues.get(callerKey) as UserCaller;
  try {
    return await findTarget(deps.sql, remembered, method, message);
  } catch (error) {
    if (!(error instanceof AgynError) || !["NOT_FOUND", "PERMISSION_DENIED"].includes(error.reason)) throw error;
    const caller = await deps.authenticate(header.get("authorization"), { fresh: true });
    if (caller.kind !== "user" || !hasOtherRoles(caller, remembered)) throw error;
    contextValues.set(callerKey, caller);
    return findTarget(deps.sql, caller, method, message);
  }
}

function hasOtherRoles(caller: UserCaller, remembered: UserCaller): boolean {
  return (
    caller.clusterAdmin !== remembered.clusterAdmin || !isDeepStrictEqual(caller.memberships, remembered.memberships)
  );
}

async function findTarget(sql: Sql, caller: UserCaller, method: DescMethod, message: Message): Promise<Target> {
  const rule = accessOf(method);
  const findOwned = async <T extends { organizationId: string }>(noun: string, resolve: Resolve<T>): Promise<T> => {
    const reference = text(method, message, rule.field);
    const organizationId = await contextOrganization(sql, caller, text(method, message, "organization"));
    const found = await resolve(sql, caller, reference, organizationId);
    const scope = { kind: "organization", organizationId: found.organizationId } as const;
    demandRole(caller, rule.requiredRole, { scope, noun, reference });
    return found;
  };
  switch (rule.resource) {
    case Resource.CLUSTER:
      demandRole(caller, rule.requiredRole, { scope: { kind: "cluster" }, noun: "cluster", reference: "" });
      return { kind: "none" };
    case Resource.ORGANIZATION: {
      const reference = text(method, message, rule.field);
      const remembered = rule.organizationAsRemembered ? rememberedOrganization(caller, reference) : undefined;
      const organization = remembered ?? (await resolveOrganization(sql, caller, reference));
      if (!(rule.orClusterAdmin && caller.clusterAdmin)) {
        demandRole(caller, rule.requiredRole, {
          scope: { kind: "organization", organizationId: organization.id },
          noun: "organization",
          reference: organization.name,
        });
      }
      return { kind: "organization", organization };
    }
    case Resource.SCOPE:
      return findScope(sql, caller, rule, value(method, message, rule.field) as ScopeProto);
    case Resource.RUNNER: {
      const reference = text(method, message, rule.field);
      const organizationId = await contextOrganization(sql, caller, text(method, message, "organization"));
      const runner = await resolveRunner(sql, caller, reference, organizationId);
      demandRole(caller, rule.requiredRole, { scope: scopeOf(runner), noun: "runner", reference });
      return { kind: "runner", runner, organizationId };
    }
    case Resource.WORKLOAD:
      return { kind: "workload", workload: await findOwned("workload", resolveWorkload) };
    case Resource.PROJECT:
      return { kind: "project", project: await findOwned("project", resolveProject) };
    case Resource.RUN:
      return { kind: "run", run: await findOwned("run", resolveRun) };
    case Resource.JOB:
      return { kind: "job", job: await findOwned("job", resolveJob) };
    case Resource.TRIGGER:
      return { kind: "trigger", trigger: await findOwned("trigger", resolveTrigger) };
    case Resource.WEBHOOK:
      return { kind: "webhook", webhook: await findOwned("webhook", resolveWebhook) };
    case Resource.ARTIFACT:
      return { kind: "artifact", artifact: await findOwned("artifact", resolveArtifact) };
    case Resource.UNSPECIFIED:
    case Resource.SELF:
    default:
      return { kind: "none" };
  }
}

type Resolve<T> = (sql: Sql, caller: UserCaller, reference: string, organizationId: string | undefined) => Promise<T>;

async function findScope(sql: Sql, caller: UserCaller, rule: AccessRule, proto: ScopeProto): Promise<Target> {
  if (proto.kind.case === "cluster") {
    demandRole(caller, "cluster_admin", { scope: { kind: "cluster" }, noun: "cluster", reference: "" });
    return { kind: "scope", scope: { kind: "cluster" }, name: "the cluster" };
  }
  const organization = await resolveOrganization(sql, caller, proto.kind.value ?? "");
  const scope: Scope = { kind: "organization", organizationId: organization.id };
  demandRole(caller, rule.requiredRole, { scope, noun: "organization", reference: organization.name });
  return { kind: "scope", scope, name: organization.name };
}

/** Where names are looked up: none named and no default is no error, since an id needs no organization. */
async function contextOrganization(sql: Sql, caller: UserCaller, reference: string): Promise<string | undefined> {
  if (reference === "" && caller.memberships.length === 0) return undefined;
  try {
    return (await resolveOrganization(sql, caller, reference)).id;
  } catch (error) {
    if (reference === "") return undefined;
    throw error;
  }
}

function value(method: DescMethod, message: Message, field: string): unknown {
  const descriptor = method.input.fields.find((one) => one.name === field);
  if (!descriptor) throw new Error(`${method.name} has no field ${field}, which its access option names`);
  return (message as unknown as Record<string, unknown>)[descriptor.localName];
}

function text(method: DescMethod, message: Message, field: string): string {
  return value(method, message, field) as string;
}

/** The first message, which must come soon, and all of them again. */
async function peek<T>(messages: AsyncIterable<T>): Promise<[T | undefined, AsyncIterable<T>]> {
  const iterator = messages[Symbol.asyncIterator]();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const why = `the first message of a stream must come within ${firstMessageTimeout_ms} ms`;
  const timer = setTimeout(() => reject(new AgynError("INVALID_ARGUMENT", why)), firstMessageTimeout_ms);
  const first = await Promise.race([iterator.next(), late]).finally(() => clearTimeout(timer));
  async function* all(): AsyncIterable<T> {
    if (first.done) return;
    yield first.value;
    for (let result = await iterator.next(); !result.done; result = await iterator.next()) yield result.value;
  }
  return [first.done ? undefined : first.value, all()];
}
