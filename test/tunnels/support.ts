import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TunnelInputSchema, ExecStartSchema } from "../../proto/gen/agyn/tunnels/v1/tunnel_pb.ts";
import { WorkloadPhase } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { script, until, untilConnected, type Clients, type RegisteredRunner, type World } from "../support/world.ts";

/** A busy machine must not make a runner look away that is not: what goes through its connection would end. */
export const patientSettings = { heartbeat: "500ms", lease: "5s" };

type InputKind = NonNullable<MessageInitShape<typeof TunnelInputSchema>["kind"]>;

/** A command's ends as its caller has them. */
export type Conversation = {
  say(kind: InputKind): void;
  type(text: string): void;
  /** Nothing more is said. */
  finish(): void;
  stdout(): string;
  stderr(): string;
  /** Waits until standard output holds this. */
  hear(text: string): Promise<void>;
  /** The exit code and signal, or the error. */
  ended: Promise<{ exitCode: number; signal: string }>;
  /** Goes away without a word. */
  cut(): void;
};

/** Runs a command in a workload, over the contract. */
export function converse(
  { tunnels }: Pick<Clients, "tunnels">,
  workload: string,
  start: Omit<MessageInitShape<typeof ExecStartSchema>, "$typeName">,
): Conversation {
  const said: InputKind[] = [];
  const cutting = new AbortController();
  let isFinished = false;
  let wake = (): void => undefined;
  async function* requests() {
    yield { workload, kind: { case: "start" as const, value: start } };
    for (;;) {
      const kind = said.shift();
      if (kind) yield { kind: { case: "input" as const, value: { kind } } };
      else if (isFinished) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  const heard = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  const read = async () => {
    for await (const { output } of tunnels.exec(requests(), { signal: cutting.signal })) {
      const kind = output!.kind;
      if (kind.case === "data") heard.stdout = Buffer.concat([heard.stdout, kind.value]);
      if (kind.case === "errorData") heard.stderr = Buffer.concat([heard.stderr, kind.value]);
      if (kind.case === "result") return { exitCode: kind.value.exitCode, signal: kind.value.signal };
    }
    throw new Error("it ended without a result");
  };
  const ended = read();
  ended.catch(() => undefined);
  const say = (kind: InputKind): void => {
    said.push(kind);
    wake();
  };
  return {
    say,
    type: (text) => say({ case: "data", value: Buffer.from(text) }),
    finish() {
      isFinished = true;
      wake();
    },
    stdout: () => heard.stdout.toString(),
    stderr: () => heard.stderr.toString(),
    async hear(text) {
      const found = until(`stdout holds ${JSON.stringify(text)}`, () => heard.stdout.includes(text));
      await Promise.race([found, ended.then(() => found)]);
    },
    ended,
    cut: () => cutting.abort(),
  };
}

/** Runs a command to its end, with this for its input. */
export async function exec(clients: Pick<Clients, "tunnels">, workload: string, argv: string[], input = "") {
  const conversation = converse(clients, workload, { arguments: argv });
  if (input !== "") conversation.type(input);
  conversation.finish();
  const result = await conversation.ended;
  return { ...result, stdout: conversation.stdout(), stderr: conversation.stderr() };
}

/** Registers and starts a runner, and waits until it is connected. */
export async function connectRunner(world: World, name: string, more: string[] = []): Promise<RegisteredRunner> {
  const runner = await world.register(name);
  world.startRunner(runner, { slots: 16, arguments: more });
  await untilConnected(world, runner);
  return runner;
}

/** Starts a script and waits until it runs. */
export async function startScript(clients: Clients, text: string, more: object = {}): Promise<string> {
  const { workload } = await clients.orchestrator.startWorkload({ spec: { ...script(text), ...more } });
  const { id } = workload!;
  await until(`${id} runs`, async () => {
    const now = (await clients.orchestrator.getWorkload({ workload: id })).workload!;
    return now.phase === WorkloadPhase.RUNNING;
  });
  return id;
}

/** Waits until no process of this machine has the id. */
export function untilGone(pid: string): Promise<true> {
  return until(`process ${pid} is gone`, () => {
    try {
      process.kill(Number(pid), 0);
      return false;
    } catch {
      return true as const;
    }
  });
}
