/**
 * The runner's end of one tunnel: what is wanted, done where the workload runs. It knows nothing of how the messages travel. Whoever
 * reads the answers sets the pace: a command's output waits in its pipes, and what comes is taken as fast as the command takes it.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { basename, dirname, resolve } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  TunnelOutputSchema,
  type TunnelInput,
  type TunnelOutput,
  type TunnelStart,
} from "../../proto/gen/agyn/tunnels/v1/tunnel_pb.ts";
import { tunnelPiece_bytes } from "../../wire/tunnel-bounds.ts";
import type { Entered, Entrance, EnterRequest } from "./executors/executor.ts";
import { cutText } from "./messages.ts";
import { messageOf } from "./refusal.ts";

/** Why a tunnel cannot be, or not go on. */
export class TunnelRefused extends Error {
  readonly reason: "INVALID_ARGUMENT" | "STALE_FENCE" | "STATE" | "LIMIT" | "UNAVAILABLE";

  constructor(reason: TunnelRefused["reason"], message: string) {
    super(message);
    this.name = "TunnelRefused";
    this.reason = reason;
  }
}

type Start<C extends TunnelStart["kind"]["case"]> = Extract<TunnelStart["kind"], { case: C }>["value"];
type Answer = NonNullable<MessageInitShape<typeof TunnelOutputSchema>["kind"]>;

/** What an end of a tunnel works with. `signal` aborts when the tunnel is gone, or with a `TunnelRefused` where it must end. */
export type TunnelWork = { entrance: Entrance; inputs: AsyncIterable<TunnelInput>; signal: AbortSignal };

/** Of the line that says what is copied: a job may have a "sh" of its own that never ends it. */
const maximumKindBytes = 64;
/** Of what a copy says of its failure. */
const maximumSaidBytes = 4096;

/** Does what a tunnel was opened for. Throws a `TunnelRefused` where it cannot be. */
export async function* serveTunnel(kind: TunnelStart["kind"], work: TunnelWork): AsyncGenerator<TunnelOutput> {
  for await (const answer of answersOf(kind, work)) yield create(TunnelOutputSchema, { kind: answer });
}

function answersOf(kind: TunnelStart["kind"], work: TunnelWork): AsyncGenerator<Answer> {
  switch (kind.case) {
    case "exec":
      return exec(kind.value, work);
    case "forward":
      return forward(kind.value, work);
    case "copyFrom":
      return copyFrom(kind.value, work);
    case "copyTo":
      return copyTo(kind.value, work);
    case undefined:
      throw new TunnelRefused("INVALID_ARGUMENT", "this runner does not know what the tunnel is for: it may be older");
  }
}

async function* exec(
  { arguments: argv, terminal, terminalType }: Start<"exec">,
  work: TunnelWork,
): AsyncGenerator<Answer> {
  const { entrance, inputs, signal } = work;
  const request = terminal === undefined ? { argv } : { argv, terminal: { ...terminal, type: terminalType } };
  const entered = await enter(entrance, request, signal);
  yield started();
  void feed(entered, inputs).catch(() => entered.close());
  for await (const { stream, bytes } of entered.output) {
    for (const piece of inPieces(bytes)) yield { case: stream === "stdout" ? "data" : "errorData", value: piece };
  }
  const exit = await entered.exit;
  signal.throwIfAborted();
  yield { case: "end", value: {} };
  yield { case: "result", value: { exitCode: exit.exitCode, signal: exit.signal ?? "" } };
}

/** Hands on what comes for a command, until nothing more does. */
async function feed(entered: Entered, inputs: AsyncIterable<TunnelInput>): Promise<void> {
  for await (const { kind } of inputs) {
    if (kind.case === "data") await entered.write(kind.value);
    else if (kind.case === "end") entered.end();
    else if (kind.case === "resize") entered.resize(kind.value);
    else if (kind.case === "signal") await sendInTurn(() => entered.signal(`SIG${kind.value}` as NodeJS.Signals));
  }
}

/** Between two signals for whatever commands: to find whom one is for takes a look at every process of the machine. */
const signalPauseMs = 20;
let lastSignal = Promise.resolve();

/** Sends the signals of all tunnels one after another, so that no caller takes all of the runner's time (I13). */
function sendInTurn(signalNow: () => void): Promise<void> {
  const sent = lastSignal.then(signalNow);
  lastSignal = sent.catch(() => undefined).then(() => delay(signalPauseMs));
  return sent;
}

async function* forward({ port }: Start<"forward">, { entrance, inputs, signal }: TunnelWork): AsyncGenerator<Answer> {
  let socket: Duplex;
  try {
    socket = await entrance.connect(port, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new TunnelRefused("UNAVAILABLE", `port ${port} of the workload does not answer: ${messageOf(error)}`);
  }
  socket.on("error", () => undefined);
  yield started();
  const sent = send(socket, inputs).catch(() => void socket.destroy());
  try {
    for await (const bytes of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      for (const piece of inPieces(bytes)) yield { case: "data", value: piece };
    }
    yield { case: "end", value: {} };
    await sent;
  } catch (error) {
    signal.throwIfAborted();
    throw new TunnelRefused("UNAVAILABLE", `the connection broke: ${messageOf(error)}`);
  } finally {
    socket.destroy();
  }
  yield { case: "result", value: {} };
}

/** Writes what comes until nothing more does, at the pace of who reads it. */
async function send(socket: Duplex, inputs: AsyncIterable<TunnelInput>): Promise<void> {
  for await (const { kind } of inputs) {
    if (kind.case === "data") {
      if (!socket.write(kind.value)) await once(socket, "drain");
    } else if (kind.case === "end") {
      socket.end();
      return;
    }
  }
  socket.destroy();
}

/** A folder gives what is in it; a file, also one that a link leads to, gives itself. The first line says which it is. */
const packScript = `
cd -- "$1" || exit
if [ -d "$2" ]; then cd -- "$2" && echo folder && exec tar -c -f - .; fi
[ -e "$2" ] || { echo "there is no such file or folder" >&2; exit 1; }
echo file && exec tar -c -h -f - "$2"
`;

async function* copyFrom({ path }: Start<"copyFrom">, work: TunnelWork): AsyncGenerator<Answer> {
  const { entrance, signal } = work;
  const target = placeOf(path, entrance);
  const entered = await enter(entrance, { argv: ["sh", "-c", packScript, "sh", ...target] }, signal);
  entered.end();
  const said: Buffer[] = [];
  const hash = createHash("sha256");
  let line: Buffer | undefined = Buffer.alloc(0);
  for await (const { stream, bytes } of entered.output) {
    if (stream === "stderr") {
      keepSaid(said, bytes);
      continue;
    }
    let rest = bytes;
    if (line !== undefined) {
      line = Buffer.concat([line, bytes]);
      const end = line.indexOf("\n");
      if (end < 0 && line.length > maximumKindBytes)
        throw new TunnelRefused("STATE", `${path}: the workload's sh or tar is none that can be used`);
      if (end < 0) continue;
      yield started(line.toString("latin1", 0, end) === "folder");
      rest = line.subarray(end + 1);
      line = undefined;
    }
    hash.update(rest);
    for (const piece of inPieces(rest)) yield { case: "data", value: piece };
  }
  const { exitCode } = await entered.exit;
  signal.throwIfAborted();
  if (line !== undefined) throw new TunnelRefused("STATE", `${path}: ${textOf(said) || "it cannot be read"}`);
  yield { case: "end", value: { sha256: hash.digest("hex") } };
  yield { case: "result", value: { exitCode, message: exitCode === 0 ? "" : textOf(said) || "tar failed" } };
}

/** What is unpacked belongs to who unpacks it, whatever the archive says. */
const unpackScript = `
if [ -d "$1/$2" ]; then cd -- "$1/$2" && echo folder; else cd -- "$1" && echo file; fi || exit
exec tar -x -o -f -
`;

async function* copyTo({ path }: Start<"copyTo">, work: TunnelWork): AsyncGenerator<Answer> {
  const { entrance, inputs, signal } = work;
  const target = placeOf(path, entrance);
  const entered = await enter(entrance, { argv: ["sh", "-c", unpackScript, "sh", ...target] }, signal);
  const fed = feedArchive(entered, inputs).catch((error: unknown) => {
    entered.close();
    return messageOf(error);
  });
  const said: Buffer[] = [];
  let isStarted = false;
  for await (const { stream, bytes } of entered.output) {
    if (stream === "stderr") keepSaid(said, bytes);
    else if (!isStarted) {
      isStarted = true;
      yield started(bytes.toString("latin1").startsWith("folder"));
    }
  }
  const { exitCode } = await entered.exit;
  signal.throwIfAborted();
  if (!isStarted) throw new TunnelRefused("STATE", `${path}: ${textOf(said) || "it cannot be entered"}`);
  const failure = exitCode === 0 ? await fed : textOf(said) || "tar failed";
  yield { case: "result", value: { exitCode, message: cutText(failure ?? "", maximumSaidBytes) } };
}

/** Answers what is wrong with the archive that came, if anything is. */
async function feedArchive(entered: Entered, inputs: AsyncIterable<TunnelInput>): Promise<string | undefined> {
  const hash = createHash("sha256");
  for await (const { kind } of inputs) {
    if (kind.case === "data") {
      hash.update(kind.value);
      await entered.write(kind.value);
    } else if (kind.case === "end") {
      entered.end();
      const isWhole = kind.value.sha256 === "" || kind.value.sha256 === hash.digest("hex");
      return isWhole ? undefined : "what came does not have the SHA-256 that was told";
    }
  }
  entered.close();
  return "the archive ended early";
}

/** A command where the workload runs, which ends with the tunnel. */
async function enter(entrance: Entrance, request: EnterRequest, signal: AbortSignal): Promise<Entered> {
  let entered: Entered;
  try {
    entered = await entrance.enter(request);
  } catch (error) {
    throw new TunnelRefused("STATE", messageOf(error));
  }
  const close = (): void => entered.close();
  if (signal.aborted) close();
  signal.addEventListener("abort", close, { once: true });
  void entered.exit.then(() => signal.removeEventListener("abort", close));
  return entered;
}

/** The folder of a path, and its name in there, as a word that no program takes for an option. */
function placeOf(path: string, { directory }: Entrance): [directory: string, name: string] {
  const absolute = resolve(directory, path);
  return [dirname(absolute), `./${basename(absolute)}`];
}

function keepSaid(said: Buffer[], bytes: Buffer): void {
  const length = said.reduce((sum, piece) => sum + piece.length, 0);
  if (length < maximumSaidBytes) said.push(bytes.subarray(0, maximumSaidBytes - length));
}

function textOf(said: readonly Buffer[]): string {
  return cutText(Buffer.concat(said).toString().trim(), maximumSaidBytes - 1024);
}

function started(directory = false): Answer {
  return { case: "started", value: { directory } };
}

function* inPieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += tunnelPiece_bytes) yield bytes.subarray(at, at + tunnelPiece_bytes);
}
