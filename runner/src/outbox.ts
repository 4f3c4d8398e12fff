import { create } from "@bufbuild/protobuf";
import {
  PlacementsRequestSchema,
  RunnerMessageSchema,
  type PlacementsRequest,
  type RunnerMessage,
} from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";

/** Messages of one batch on the wire. */
export const maximumBatchMessages = 1000;
/** Messages that wait for the connection; beyond it the session is given up, and the next hello says everything. */
export const maximumOutboxMessages = 100_000;

/** What a runner says. */
export type MessageKind = Exclude<RunnerMessage["kind"], { case: undefined }>;

/** The messages of one session on their way out: hello at once, the rest once the session stands, in batches. */
export class Outbox {
  #first: RunnerMessage[];
  #waiting: RunnerMessage[] = [];
  #isOpen = false;
  #isEnded = false;
  #wake: (() => void) | undefined;
  readonly #overflow: () => void;

  constructor(hello: MessageKind, overflow: () => void) {
    this.#first = [toMessage(hello)];
    this.#overflow = overflow;
  }

  push(kind: MessageKind): void {
    if (this.#isEnded) return;
    if (this.#waiting.length >= maximumOutboxMessages) return this.#overflow();
    this.#waiting.push(toMessage(kind));
    if (this.#isOpen) this.#wakeUp();
  }

  /** Lets go of what waits and is of one kind, because it is about to be said anew. */
  drop(wanted: MessageKind["case"]): void {
    this.#waiting = this.#waiting.filter(({ kind }) => kind.case !== wanted);
  }

  /** Lets everything out, `kind` before it. */
  open(kind: MessageKind): void {
    this.#isOpen = true;
    this.#first.push(toMessage(kind));
    this.#wakeUp();
  }

  /** Ends the stream after what waits. */
  end(): void {
    this.#isEnded = true;
    this.#wakeUp();
  }

  /** The batches, each of what was said since the one before. */
  async *batches(): AsyncGenerator<PlacementsRequest> {
    for (;;) {
      const messages = this.#take();
      if (messages.length > 0) {
        yield create(PlacementsRequestSchema, { messages });
        continue;
      }
      if (this.#isEnded) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      // What is said in the same turn goes out together.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #take(): RunnerMessage[] {
    if (this.#first.length > 0) return this.#first.splice(0);
    return this.#isOpen ? this.#waiting.splice(0, maximumBatchMessages) : [];
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

function toMessage(kind: MessageKind): RunnerMessage {
  return create(RunnerMessageSchema, { kind });
}
