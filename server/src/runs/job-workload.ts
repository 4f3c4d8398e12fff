/* What a job asks a runner to do: its workload's spec and demand. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  WorkloadSpecSchema,
  type ArtifactDownloadSchema,
  type BundleSchema,
  type WorkloadSpec,
} from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type {
  JobCommand,
  JobDefinition,
  LabelRequirement,
  Requires,
  ResolvedJob,
} from "../../../pipelines/pipeline.ts";
import { maximumSecretBytes, minimumMasked_bytes } from "../../../wire/secrets.ts";
import type { Requirement } from "../domain/demand.ts";
import { demandToJson, type DemandJson } from "../domain/workload.ts";
import type { JobRow } from "../store/jobs.ts";
import type { RunRow } from "../store/runs.ts";

export type JobWorkload = { spec: WorkloadSpec; demand: DemandJson };

type Bundle = MessageInitShape<typeof BundleSchema>;
export type Download = MessageInitShape<typeof ArtifactDownloadSchema>;

/** Of a job whose texts are resolved; `secrets`: environment variable → value. */
export function toJobWorkload(
  run: RunRow,
  row: Pick<JobRow, "id" | "name" | "matrix">,
  job: {
    definition: JobDefinition;
    resolved: ResolvedJob;
    secrets: ReadonlyMap<string, string>;
    bundle: Bundle | undefined;
    downloads: readonly Download[];
  },
): JobWorkload {
  const { definition, resolved, secrets, bundle, downloads } = job;
  const uploads = resolved.artifacts.upload.map(({ name, paths, retention_ms }) => {
    return { name, paths: [...paths], ...(retention_ms !== null && { retention: durationFromMs(retention_ms) }) };
  });
  const variables = { ...resolved.env, ...contextVariables(run, row) };
  const spec = create(WorkloadSpecSchema, {
    command: commandOf(definition.command),
    environment: [
      ...Object.entries(variables)
        .filter(([name]) => !secrets.has(name))
        .map(([name, value]) => ({ name, value, secret: false })),
      ...[...secrets].map(([name, value]) => ({ name, value, secret: true })),
    ],
    ...(run.sourceUrl !== "" && { git: { url: run.sourceUrl, ref: run.commit } }),
    ...(bundle && { bundle }),
    ...(uploads.length + downloads.length > 0 && { artifacts: { uploads, downloads: [...downloads] } }),
    ...(definition.timeout_ms !== null && { timeout: durationFromMs(definition.timeout_ms) }),
  });
  return { spec, demand: demandOf(run.organizationId, definition.command, resolved) };
}

/** Variables of one workload, as the contract bounds them. */
const maximumVariables = 256;

/** Why no runner could be given the environment of a job, or `undefined`. */
export function environmentFault({ environment, artifacts }: WorkloadSpec): string | undefined {
  if (environment.length > maximumVariables) {
    return `its environment has ${environment.length} variables with those of its inputs and matrix, more than ${maximumVariables}`;
  }
  const secretBytes = environment.reduce((sum, { secret, value }) => sum + (secret ? Buffer.byteLength(value) : 0), 0);
  if (secretBytes > maximumSecretBytes) {
    return `its secrets have ${secretBytes} bytes in sum, more than ${maximumSecretBytes}`;
  }
  const names = artifacts?.uploads.map((one) => one.name) ?? [];
  const shown = environment.find(({ secret, value }) => secret && names.some((name) => holds(name, value)));
  if (shown) return `the name of an artifact holds the value of its secret ${shown.name}, and names are for all to see`;
  return undefined;
}

/** As in output, what is shorter is too common to be told as a secret. */
function holds(name: string, value: string): boolean {
  return Buffer.byteLength(value) >= minimumMasked_bytes && name.includes(value);
}

/** A graph is its file, for runners that have an executor for graphs. */
function commandOf(command: JobCommand): WorkloadSpec["command"] {
  if (command.kind === "argv") {
    return { case: "argv", value: { $typeName: "agyn.orchestrator.v1.Argv", arguments: [...command.arguments] } };
  }
  const shell = command.kind === "script" ? command.shell : "sh";
  return { case: "script", value: { $typeName: "agyn.orchestrator.v1.Script", text: command.text, shell } };
}

/** What every job learns of its run: by environment, never by pasting into text. */
function contextVariables(run: RunRow, row: Pick<JobRow, "id" | "name" | "matrix">): Record<string, string> {
  return {
    AGYN_RUN_ID: run.id,
    AGYN_RUN_NUMBER: String(run.number),
    AGYN_RUN_ATTEMPT: String(run.attempt),
    AGYN_JOB_ID: row.id,
    AGYN_JOB_NAME: row.name,
    AGYN_PROJECT: run.projectName,
    AGYN_PIPELINE: run.pipeline,
    AGYN_REF: run.ref,
    AGYN_COMMIT: run.commit,
    AGYN_TRIGGER: run.cause.kind,
    AGYN_EVENT: run.cause.event,
    ...variablesOf("AGYN_INPUT_", run.inputs),
    ...variablesOf("AGYN_MATRIX_", row.matrix),
  };
}

function variablesOf(prefix: string, values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      `${prefix}${name.toUpperCase().replaceAll(/[^A-Z0-9_]/g, "_")}`,
      String(value),
    ]),
  );
}

function demandOf(organizationId: string, { kind }: JobCommand, { requires, container }: ResolvedJob): DemandJson {
  const resources = new Map(Object.entries(requires.resources));
  if (!resources.has("slots")) resources.set("slots", 1);
  return demandToJson({
    organizationId,
    requirements: requires.labels.map(requirementOf),
    capabilities: [...requires.capabilities],
    executor: kind === "graph" ? "graph" : executorOf(requires, container),
    resources,
    preferences: requires.prefer.map(({ requirement, weight }) => ({
      requirement: requirementOf(requirement),
      weight,
    })),
  });
}

function requirementOf({ key, operator, values }: LabelRequirement<string>): Requirement {
  return { key, operator, values: [...values] };
}

function executorOf({ executor }: Requires<string>, container: string | null): string {
  return executor ?? (container === null ? "process" : "container");
}
