import { createContextKey } from "@connectrpc/connect";
import type { Caller, Scope, UserCaller } from "../domain/access.ts";
import { AgynError } from "../domain/errors.ts";
import type { RunnerRow } from "../store/runners.ts";
import type { ArtifactRow } from "../store/artifacts.ts";
import type { WorkloadRow } from "../store/workloads.ts";
import type { JobRow } from "../store/jobs.ts";
import type { Organization } from "../store/organizations.ts";
import type { Project } from "../store/projects.ts";
import type { RunRow } from "../store/runs.ts";
import type { TriggerRow } from "../store/triggers.ts";
import type { WebhookRow } from "../store/webhooks.ts";

/** What a call is about, found and allowed by the access interceptor. */
export type Target =
  | { kind: "none" }
  | { kind: "organization"; organization: Organization }
  | { kind: "scope"; scope: Scope; name: string }
  | { kind: "runner"; runner: RunnerRow; organizationId: string | undefined }
  | { kind: "workload"; workload: WorkloadRow }
  | { kind: "project"; project: Project }
  | { kind: "run"; run: RunRow }
  | { kind: "job"; job: JobRow }
  | { kind: "trigger"; trigger: TriggerRow }
  | { kind: "webhook"; webhook: WebhookRow }
  | { kind: "artifact"; artifact: ArtifactRow };

/** Who calls, as the first interceptor found out. */
export const callerKey = createContextKey<Caller>({ kind: "anonymous" });
/** What the call is about, as the interceptor found that allowed it. */
export const targetKey = createContextKey<Target>({ kind: "none" });
/** The address a call comes from. */
export const sourceKey = createContextKey("");

/** Whether the caller's connection still answers; of the runner plane, where what was long under way must not count any more. */
export const answersKey = createContextKey<() => Promise<boolean>>(async () => false);

type Values = { get<T>(key: { id: symbol; defaultValue: T }): T };

/** The user who calls; the access interceptor has let nobody else through. */
export function userOf(context: { values: Values }): UserCaller {
  const caller = context.values.get(callerKey);
  if (caller.kind !== "user") throw new AgynError("UNAUTHENTICATED", "an access token is needed");
  return caller;
}

/** The runner that calls. */
export function runnerOf(context: { values: Values }): Extract<Caller, { kind: "runner" }> {
  const caller = context.values.get(callerKey);
  if (caller.kind !== "runner") throw new AgynError("UNAUTHENTICATED", "a runner's certificate is needed");
  return caller;
}

/** The trigger token that is shown. */
export function triggerTokenOf(context: { values: Values }): Extract<Caller, { kind: "trigger_token" }> {
  const caller = context.values.get(callerKey);
  if (caller.kind !== "trigger_token") throw new AgynError("UNAUTHENTICATED", "a trigger token is needed");
  return caller;
}

/** The call's target, of the kind that its method declares. */
export function targetOf<K extends Target["kind"]>(context: { values: Values }, kind: K): Extract<Target, { kind: K }> {
  const target = context.values.get(targetKey);
  if (target.kind !== kind)
    throw new Error(`the method's access option promises a ${kind}, the call has a ${target.kind}`);
  return target as Extract<Target, { kind: K }>;
}
