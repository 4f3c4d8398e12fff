import { execFile } from "node:child_process";
import { arch, cpus, hostname, platform, release, totalmem } from "node:os";

import { readBootId } from "./boot-clock.ts";

/** What the runner found: the name of a detectable capability and what there is to say about it. */
export type FoundCapability = { name: "docker" | "git" | "node" | "gpu"; version: string };

/** What the machine is, as the runner reports it when it connects. */
export type Machine = {
  os: string;
  /** In the names Node uses: `x64`, `arm64`. */
  arch: string;
  kernel: string;
  hostname: string;
  cpus: number;
  cpuModel: string;
  memoryBytes: number;
  bootId: string;
  found: FoundCapability[];
};

const detectionTimeoutMs = 3000;
const longestAnswerBytes = 64 * 1024;

/** Looks at the machine. Each detection is bounded by 3 s and they run at once; what does not answer is not found. */
export async function readMachine(): Promise<Machine> {
  const processors = cpus();
  const found = await Promise.all([findDocker(), findGit(), findNode(), findGpu()]);
  return {
    os: platform(),
    arch: arch(),
    kernel: release(),
    hostname: hostname(),
    cpus: processors.length,
    cpuModel: processors[0]?.model.trim() ?? "",
    memoryBytes: totalmem(),
    bootId: readBootId(),
    found: found.filter((one) => one !== undefined),
  };
}

/** Docker counts where its daemon answers, not where a client is installed. */
async function findDocker(): Promise<FoundCapability | undefined> {
  return capability("docker", await ask("docker", ["version", "--format", "{{.Server.Version}}"]));
}

async function findGit(): Promise<FoundCapability | undefined> {
  return capability("git", (await ask("git", ["--version"]))?.replace(/^git version /, ""));
}

async function findNode(): Promise<FoundCapability | undefined> {
  return capability("node", (await ask("node", ["--version"]))?.replace(/^v/, ""));
}

async function findGpu(): Promise<FoundCapability | undefined> {
  return capability(
    "gpu",
    await ask("nvidia-smi", ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]),
  );
}

function capability(name: FoundCapability["name"], answer: string | undefined): FoundCapability | undefined {
  const version = answer?.split("\n", 1)[0]?.trim().slice(0, 200);
  return version === undefined || version === "" ? undefined : { name, version };
}

/** The program's output, or `undefined` where it is not there, fails, or takes too long. */
function ask(file: string, args: string[]): Promise<string | undefined> {
  const options = { timeout: detectionTimeoutMs, killSignal: "SIGKILL", maxBuffer: longestAnswerBytes } as const;
  return new Promise((resolve) => {
    execFile(file, args, options, (error, output) => resolve(error === null ? output : undefined));
  });
}
