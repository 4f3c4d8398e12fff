import { randomUUID } from "node:crypto";
import { defineCommand } from "../command.ts";
import { parseDuration, toProtoDuration } from "../durations.ts";
import { UsageError } from "../failures.ts";
import { followWorkload } from "../follow-workload.ts";
import { quote } from "../quote.ts";
import { required } from "../required.ts";
import { parseInteger, parsePairs } from "../requirements.ts";
import { demandOptions, toDemand } from "../option-sets.ts";
import { workloadView } from "../views/workload.ts";
import { readEnvironment, toCommand, toLossPolicy, toRetryPolicy } from "../workload-spec.ts";

export const workloadsStart = defineCommand({
  path: ["workloads", "start"],
  summary: "Starts a workload on a runner that fits",
  passesOptionsThrough: true,
  arguments: { command: { kind: "rest", help: "what to run, as it is, without a shell" } },
  options: {
    follow: { kind: "flag", short: "f", help: "show where it went and its log, and exit with its code" },
    name: { kind: "text", placeholder: "name", help: "name; the newest of a name is what the name means" },
    label: { kind: "list", short: "l", placeholder: "key=value", help: "label of the workload; repeatable" },
    ...demandOptions,
    env: { kind: "list", short: "e", placeholder: "name=value", help: "environment variable; repeatable" },
    secretEnv: { kind: "list", placeholder: "name", help: "secret variable, taken from your environment; repeatable" },
    secretEnvFile: {
      kind: "list",
      placeholder: "name=file",
      help: "secret variable, taken from a file less its last line end; repeatable",
    },
    git: { kind: "text", placeholder: "url", help: "repository to bring into the workspace" },
    ref: { kind: "text", placeholder: "ref", help: "branch, tag or commit of it (default: its HEAD)" },
    workdir: { kind: "text", placeholder: "directory", help: "where it runs, relative to the workspace" },
    timeout: {
      kind: "parsed",
      placeholder: "duration",
      parse: parseDuration,
      help: "end it after so long (default: never)",
    },
    grace: {
      kind: "parsed",
      placeholder: "duration",
      parse: parseDuration,
      help: "between SIGTERM and SIGKILL (default: 10s)",
    },
    retries: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("retries", 0, 99),
      help: "try again so many times, as a new workload each",
    },
    retryOn: { kind: "text", placeholder: "lost,failed", help: "when to try again (default: lost)" },
    lostAfter: {
      kind: "text",
      placeholder: "duration|never",
      help: "when it is given up while its runner is out of reach",
    },
    wait: { kind: "parsed", placeholder: "duration", parse: parseDuration, help: "how long it may wait for a runner" },
    script: { kind: "text", placeholder: "file", help: "run this script (- for stdin) instead of a command" },
    shell: {
      kind: "text",
      placeholder: "shell",
      choices: ["sh", "bash", "node", "python3"],
      help: "what runs the script (default: sh)",
    },
    idempotencyKey: { kind: "text", placeholder: "key", help: "the same key with the same request starts once" },
  },
  examples: [
    "agynctl workloads start --follow -- make test",
    "agynctl workloads start --git https://example.com/app.git --ref main --capability docker --timeout 10m -- ./ci.sh",
    "agynctl workloads start --require 'region in (us,eu)' --prefer 'zone=a:10' --retries 2 --retry-on lost,failed -- ./job",
    "agynctl workloads start --follow --script deploy.sh --shell bash --secret-env DEPLOY_KEY",
  ],
  async run(context, { command }, options) {
    const { terminal, output, organization } = context;
    if (options.follow && output.format !== "table")
      throw new UsageError("--follow shows a log: it goes with no other output format");
    const request = {
      organization,
      name: options.name ?? "",
      labels: parsePairs("label", options.label),
      spec: {
        command: await toCommand({ words: command, script: options.script, shell: options.shell }, terminal.stdin),
        environment: await readEnvironment(
          { plain: options.env, secret: options.secretEnv, secretFiles: options.secretEnvFile },
          terminal.environment,
        ),
        git: toGitSource(options.git, options.ref),
        workingDirectory: options.workdir ?? "",
        timeout: durationOf(options.timeout),
        grace: durationOf(options.grace),
      },
      demand: toDemand(options),
      retry: toRetryPolicy(options.retries, options.retryOn),
      loss: toLossPolicy(options.lostAfter),
      pendingTimeout: durationOf(options.wait),
      // With a key of its own, a start whose answer was lost can be asked for again without starting twice.
      idempotencyKey: options.idempotencyKey ?? randomUUID(),
    };
    const { orchestrator } = await context.controlPlane();
    const answer = await orchestrator.startWorkload(request);
    const workload = required(answer.workload, "workload");
    if (options.follow) return followWorkload(context, workload);
    await output.done(
      workloadView,
      workload,
      `started ${workload.id}: agynctl workloads logs --follow ${quote(workload.id)}`,
    );
    return undefined;
  },
});

function durationOf(milliseconds: number | undefined): ReturnType<typeof toProtoDuration> | undefined {
  return milliseconds === undefined ? undefined : toProtoDuration(milliseconds);
}

function toGitSource(url: string | undefined, ref: string | undefined): { url: string; ref: string } | undefined {
  if (url === undefined && ref !== undefined) throw new UsageError("--ref goes with --git");
  return url === undefined ? undefined : { url, ref: ref ?? "" };
}
