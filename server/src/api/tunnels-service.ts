import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { WorkloadSpecSchema } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import {
  TunnelInputSchema,
  TunnelStartSchema,
  type TunnelInput,
  type TunnelOutput,
} from "../../../proto/gen/agyn/tunnels/v1/tunnel_pb.ts";
import type { TunnelRequest, TunnelsService } from "../../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { coverSecrets } from "../domain/cover-secrets.ts";
import { AgynError, invalidField } from "../domain/errors.ts";
import { wayInRefusal } from "../domain/way-in.ts";
import type { MasterKey } from "../identity/master-key.ts";
import { openSecrets } from "../identity/sealed-spec.ts";
import type { Tunnels } from "../sessions/tunnels.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { getRunner, type RunnerRow } from "../store/runners.ts";
import type { WorkloadRow } from "../store/workloads.ts";
import { auditOf } from "./audit.ts";
import { runnerOf, targetOf } from "./context.ts";

export type TunnelsServiceDeps = { sql: Sql; masterKey: MasterKey; tunnels: Tunnels };

type StartKind = NonNullable<MessageInitShape<typeof TunnelStartSchema>["kind"]>;
/** What a caller does, as the audit calls it. */
type Use = { action: string; details: Record<string, string>; start: StartKind };
/** A message of a caller's stream. */
type Said<S> = {
  kind: { case: "start"; value: S } | { case: "input"; value: TunnelInput } | { case: undefined; value?: undefined };
};

/** Characters of an event's argument vector. */
const maximumArguments_characters = 1024;

/** The way into workloads, and the runners' end of it. Each use is on record before anything passes, and again when it ends. */
export function createTunnelsService(deps: TunnelsServiceDeps): ServiceImpl<typeof TunnelsService> {
  return {
    async *exec(requests, context) {
      const { start, inputs } = await split(requests);
      const { workload } = targetOf(context, "workload");
      const details = {
        arguments: argumentsText(start.arguments, secretsOf(workload, deps.masterKey)),
        terminal: String(start.terminal !== undefined),
      };
      const use = { action: "workload.exec", details, start: { case: "exec" as const, value: start } };
      yield* through(deps, context, use, inputs);
    },
    async *forward(requests, context) {
      const { start, inputs } = await split(requests);
      const details = { port: String(start.port) };
      const use = { action: "workload.forward", details, start: { case: "forward" as const, value: start } };
      yield* through(deps, context, use, inputs);
    },
    async *copyFrom({ start }, context) {
      const details = { direction: "from", path: start!.path };
      const use = { action: "workload.copy", details, start: { case: "copyFrom" as const, value: start! } };
      yield* through(deps, context, use, nothing());
    },
    async *copyTo(requests, context) {
      const { start, inputs } = await split(requests);
      const details = { direction: "to", path: start.path };
      const use = { action: "workload.copy", details, start: { case: "copyTo" as const, value: start } };
      yield* through(deps, context, use, inputs);
    },
    async *tunnel(requests, context) {
      const { runnerId } = runnerOf(context);
      const messages = requests[Symbol.asyncIterator]();
      const first = await messages.next();
      const opening = first.done ? undefined : first.value.kind;
      if (opening?.case !== "open") throw new AgynError("PROTOCOL", "the first message of a tunnel must be open");
      const rest: AsyncIterable<TunnelRequest> = { [Symbol.asyncIterator]: () => messages };
      yield* deps.tunnels.accept({ runnerId, tunnelId: opening.value, requests: rest, signal: context.signal });
    },
  };
}

/** Joins the caller with the workload. */
async function* through(
  deps: TunnelsServiceDeps,
  context: HandlerContext,
  use: Use,
  inputs: AsyncIterable<TunnelInput>,
) {
  const { workload } = targetOf(context, "workload");
  const counts = { toWorkload_bytes: 0, fromWorkload_bytes: 0 };
  const start_ms = performance.now();
  const audit = (outcome: string, action: string, details: Record<string, string>) => {
    const scope = { kind: "organization" as const, organizationId: workload.organizationId };
    const about = { scope, objectId: workload.id, objectName: workload.name };
    return insertAuditEvent(deps.sql, {
      ...auditOf(context, { ...about, action, details: { ...use.details, ...details } }),
      outcome,
    });
  };
  let outcome = "ok";
  let result: Record<string, string> = {};
  try {
    const { id: runnerId, reported } = await demandWayIn(deps.sql, workload);
    await audit("ok", use.action, { runner_id: runnerId, fence: String(workload.fence) });
    const outputs = deps.tunnels.use({
      runnerId,
      workloadId: workload.id,
      organizationId: workload.organizationId,
      isHosting: reported?.hostsService === true,
      start: create(TunnelStartSchema, { workloadId: workload.id, fence: workload.fence, kind: use.start }),
      inputs: counted(inputs, (bytes) => (counts.toWorkload_bytes += bytes)),
      signal: context.signal,
    });
    for await (const output of outputs) {
      counts.fromWorkload_bytes += bytesOf(output);
      if (output.kind.case === "result") result = { exit_code: String(output.kind.value.exitCode) };
      yield { output };
    }
  } catch (error) {
    if (error instanceof AgynError) outcome = error.reason;
    else outcome = context.signal.aborted ? "CANCELLED" : "INTERNAL";
    throw error;
  } finally {
    await audit(outcome, `${use.action}.end`, {
      ...result,
      duration_ms: String(Math.round(performance.now() - start_ms)),
      bytes_to: String(counts.toWorkload_bytes),
      bytes_from: String(counts.fromWorkload_bytes),
    });
  }
}

/** The runner of a workload into which there is a way. */
async function demandWayIn(sql: Sql, { phase, runnerId }: WorkloadRow): Promise<RunnerRow> {
  const row = runnerId === null ? undefined : await getRunner(sql, runnerId);
  const runner = row && {
    name: row.name,
    isConnected: row.status === "enrolled",
    opensTunnels: row.reported?.tunnels === true,
    version: row.reported?.version ?? "",
  };
  const refusal = wayInRefusal({ phase, runner });
  if (refusal) throw new AgynError(refusal.reason, refusal.message);
  return row!;
}

/** The first message of a stream, and what comes after it, to an end that is always said. */
async function split<S>(requests: AsyncIterable<Said<S>>): Promise<{ start: S; inputs: AsyncIterable<TunnelInput> }> {
  const messages = requests[Symbol.asyncIterator]();
  const first = await messages.next();
  if (first.done || first.value.kind.case !== "start") throw invalidField("start", "must come first, and once");
  return { start: first.value.kind.value, inputs: inputsOf(messages) };
}

async function* inputsOf<S>(messages: AsyncIterator<Said<S>>): AsyncGenerator<TunnelInput> {
  let hasEnded = false;
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { kind } = next.value;
    if (kind.case !== "input") throw invalidField("start", "must come first, and once");
    if (hasEnded && kind.value.kind.case === "data") throw invalidField("input.data", "must not come after the end");
    hasEnded ||= kind.value.kind.case === "end";
    yield kind.value;
  }
  if (!hasEnded) yield create(TunnelInputSchema, { kind: { case: "end", value: {} } });
}

async function* nothing(): AsyncGenerator<TunnelInput> {}

async function* counted(inputs: AsyncIterable<TunnelInput>, count: (bytes: number) => void) {
  for await (const input of inputs) {
    if (input.kind.case === "data") count(input.kind.value.length);
    yield input;
  }
}

function bytesOf({ kind }: TunnelOutput): number {
  return kind.case === "data" || kind.case === "errorData" ? kind.value.length : 0;
}

/** The values of a workload's secret variables. */
function secretsOf({ spec, organizationId }: WorkloadRow, masterKey: MasterKey): string[] {
  const { environment } = openSecrets(fromBinary(WorkloadSpecSchema, spec), organizationId, masterKey);
  return environment.filter(({ secret, value }) => secret && value !== "").map(({ value }) => value);
}

/** An argument vector for the audit, without the workload's own secrets (I6). */
function argumentsText(argv: readonly string[], secrets: readonly string[]): string {
  const text = JSON.stringify(argv.map((one) => coverSecrets(one, secrets)));
  return text.length <= maximumArguments_characters ? text : `${text.slice(0, maximumArguments_characters)}…`;
}
