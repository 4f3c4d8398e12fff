import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Runner } from "../proto/gen/agyn/runners/v1/runner_pb.ts";
import { RunnerStatus } from "../proto/gen/agyn/runners/v1/runner_pb.ts";
import type { Clients } from "./clients.ts";
import { startProgram, until, type ControlPlane, type Program } from "./processes.ts";

/** A runner of the demo: what it is registered as. */
export type Member = {
  name: string;
  cluster: boolean;
  labels: Record<string, string>;
  capabilities: string[];
};

/** One registered runner, and the process that serves it. */
export type FleetRunner = {
  readonly member: Member;
  readonly id: string;
  /** Where it keeps its identity and its workloads. */
  readonly directory: string;
  readonly program: Program;
  hasStarted(): boolean;
  /** Starts a process on the same directory; the one before must have ended. */
  start(): Promise<Runner>;
  find(): Promise<Runner>;
};

export type FleetDeps = {
  clients: Clients;
  controlPlane: ControlPlane;
  directory: string;
  organization: string;
  /** The machine cannot keep jobs from each other, and its owner runs the demo nevertheless. */
  isUnisolated: boolean;
};

/** Registers a runner; its service token is given to its process by a file that only this user reads. */
export async function registerRunner(deps: FleetDeps, member: Member): Promise<FleetRunner> {
  const { clients, controlPlane, organization } = deps;
  const scope = member.cluster
    ? { kind: { case: "cluster" as const, value: true } }
    : { kind: { case: "organization" as const, value: organization } };
  const { labels, capabilities, name } = member;
  const { runner, serviceToken } = await clients.runners.registerRunner({ name, scope, labels, capabilities });
  const id = runner!.id;
  const tokenFile = join(deps.directory, "secrets", `${name}.token`);
  writeFileSync(tokenFile, serviceToken, { mode: 0o600 });
  const directory = join(deps.directory, `runner-${name}`);
  // A job's user must be able to pass through to the job's own directory.
  mkdirSync(directory, { mode: 0o711 });
  const usual = [
    "--gateway",
    controlPlane.gateway,
    "--token-file",
    tokenFile,
    "--data-dir",
    directory,
    "--parent-pipe",
  ];
  const unsafe = member.cluster && deps.isUnisolated ? ["--unsafe-shared-user"] : [];
  const find = async () => (await clients.runners.getRunner({ runner: id })).runner!;
  let program: Program | undefined;
  return {
    member,
    id,
    directory,
    get program() {
      if (program === undefined) throw new Error(`runner ${name} has not been started`);
      return program;
    },
    hasStarted: () => program !== undefined,
    find,
    async start() {
      const flagsOfRunner = [...usual, ...unsafe, "--executor", "process", "--drain-timeout", "0"];
      const started = startProgram(`runner ${name}`, "runner/src/main.ts", flagsOfRunner, directory);
      program = started;
      await until(
        `a session of runner ${name}`,
        () => started.records().find((record) => record["message"] === "session established"),
        { programs: [started] },
      );
      return until(
        `runner ${name} enrolled`,
        async () => {
          const found = await find();
          return found.status === RunnerStatus.ENROLLED ? found : undefined;
        },
        { programs: [started] },
      );
    },
  };
}
