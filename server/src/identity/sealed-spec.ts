import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { WorkloadSpecSchema, type WorkloadSpec } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type { MasterKey } from "./master-key.ts";

/** The spec in binary as it is stored: values of secret variables are sealed, and bound to their organization (I6). */
export function sealSpec(spec: WorkloadSpec, organizationId: string, masterKey: MasterKey): Uint8Array {
  if (!spec.environment.some((variable) => variable.secret)) return toBinary(WorkloadSpecSchema, spec);
  const environment = spec.environment.map((variable) =>
    variable.secret
      ? {
          ...variable,
          value: Buffer.from(masterKey.seal(Buffer.from(variable.value), context(organizationId))).toString("base64"),
        }
      : variable,
  );
  return toBinary(WorkloadSpecSchema, { ...spec, environment });
}

/** The spec as people may read it: without the values of secret variables. */
export function readableSpec(binary: Uint8Array): WorkloadSpec {
  const spec = fromBinary(WorkloadSpecSchema, binary);
  for (const variable of spec.environment) if (variable.secret) variable.value = "";
  return spec;
}

/** The spec with its secrets opened: for the runner alone. */
export function openSecrets(spec: WorkloadSpec, organizationId: string, masterKey: MasterKey): WorkloadSpec {
  for (const variable of spec.environment) {
    if (!variable.secret) continue;
    const opened = masterKey.open(Buffer.from(variable.value, "base64"), context(organizationId));
    if ("error" in opened)
      throw new Error(`secret variable ${variable.name} of organization ${organizationId}: ${opened.error}`);
    variable.value = Buffer.from(opened).toString();
  }
  return spec;
}

/** The stored spec with its secrets sealed under the key in force; `undefined` where they are so already. */
export function resealSpec(binary: Uint8Array, organizationId: string, masterKey: MasterKey): Uint8Array | undefined {
  const spec = fromBinary(WorkloadSpecSchema, binary);
  const secrets = spec.environment.filter((variable) => variable.secret);
  if (secrets.every(({ value }) => masterKey.hasSealed(Buffer.from(value, "base64")))) return undefined;
  return sealSpec(openSecrets(spec, organizationId, masterKey), organizationId, masterKey);
}

function context(organizationId: string): string {
  return `organization/${organizationId}/environment`;
}
