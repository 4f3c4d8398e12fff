import {
  Availability,
  AvailabilitySchema,
  RunnerSchema,
  RunnerStatus,
  RunnerStatusSchema,
  type Runner,
  type Scope,
} from "../../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Tone } from "../terminal.ts";
import { age, enumWord, instant, messageJson, pairs, type View } from "../view.ts";

/** Where a thing belongs, in a word. */
export function scopeText(scope: Scope | undefined): string {
  return scope?.kind.case === "cluster" ? "cluster" : (scope?.kind.value ?? "");
}

function state(runner: Runner): string {
  const status = enumWord(RunnerStatusSchema, runner.status);
  return runner.availability <= Availability.ACTIVE
    ? status
    : `${status}, ${enumWord(AvailabilitySchema, runner.availability)}`;
}

function tone(runner: Runner): Tone {
  if (runner.availability === Availability.LOCKED) return "bad";
  if (runner.availability > Availability.ACTIVE) return "warning";
  return runner.status === RunnerStatus.ENROLLED ? "good" : "dim";
}

function load(runner: Runner): string {
  const total = runner.capacity["slots"];
  return total === undefined ? "-" : `${runner.used["slots"] ?? 0}/${total}`;
}

/** Declared capabilities that the machine does not have. */
function missing(runner: Runner): string[] {
  return runner.capabilities.filter((name) => !runner.effectiveCapabilities.includes(name));
}

function identity(runner: Runner): string {
  const { identity: current } = runner;
  return current === undefined
    ? ""
    : `${current.id}, generation ${current.generation}, expires ${instant(current.expireTime)}`;
}

function token(runner: Runner): string {
  const { serviceToken } = runner;
  if (serviceToken === undefined) return "";
  const { maximumUses = 0, lifetime, sourceCidrs = [] } = serviceToken.options ?? {};
  const limit = maximumUses === 0 ? "" : ` of ${maximumUses}`;
  const end =
    lifetime === undefined || serviceToken.createTime === undefined
      ? undefined
      : timestampMs(serviceToken.createTime) + Number(lifetime.seconds) * 1000;
  const expiry = end === undefined || Math.abs(end) > 8.64e15 ? "" : `, until ${new Date(end).toISOString()}`;
  const unit = serviceToken.uses === 1 && limit === "" ? "time" : "times";
  return `used ${serviceToken.uses}${limit} ${unit}${expiry}${sourceCidrs.length > 0 ? `, from ${sourceCidrs.join(" ")}` : ""}`;
}

export const runnerView: View<Runner> = {
  noun: "runners",
  id: ({ id }) => id,
  toJson: messageJson(RunnerSchema),
  columns: [
    { header: "NAME", value: ({ name }) => name },
    { header: "ID", value: ({ id }) => id },
    { header: "STATE", value: (runner) => (runner.deleteTime === undefined ? state(runner) : "deleted"), tone },
    { header: "SCOPE", value: ({ scope }) => (scope?.kind.case === "cluster" ? "cluster" : "organization") },
    { header: "SLOTS", value: load },
    { header: "CAPABILITIES", value: ({ effectiveCapabilities }) => effectiveCapabilities.join(", ") },
    { header: "LABELS", value: ({ labels }) => pairs(labels) },
    { header: "SEEN", value: ({ heartbeatTime }, now) => age(heartbeatTime, now) },
    { header: "VERSION", value: ({ version }) => version, isWide: true },
    { header: "HOST", value: ({ host }) => host, isWide: true },
    { header: "EXECUTORS", value: ({ executors }) => executors.join(", "), isWide: true },
    { header: "REPORTED", value: ({ reportedLabels }) => pairs(reportedLabels), isWide: true },
  ],
  details: (runner) => [
    ["name", runner.name],
    ["id", runner.id],
    ["scope", scopeText(runner.scope)],
    ["state", state(runner)],
    ["reason", runner.availabilityReason],
    ["busy", runner.busy ? "yes" : "no"],
    ["capacity", pairs(runner.capacity)],
    ["used", pairs(runner.used)],
    ["labels", pairs(runner.labels)],
    ["reported labels", pairs(runner.reportedLabels)],
    ["capabilities", runner.effectiveCapabilities.join(", ")],
    ["declared, not found", missing(runner).join(", ")],
    ["executors", runner.executors.join(", ")],
    ["isolation", runner.isolation],
    ["host", runner.host],
    ["version", runner.version],
    ["identity", identity(runner)],
    ["identity uri", runner.identity?.uri ?? ""],
    ["overlay services", runner.overlayServices.join(", ")],
    ["service token", token(runner)],
    ["created", instant(runner.createTime)],
    ["enrolled", instant(runner.enrollTime)],
    ["last heartbeat", instant(runner.heartbeatTime)],
    ["deleted", instant(runner.deleteTime)],
  ],
};
