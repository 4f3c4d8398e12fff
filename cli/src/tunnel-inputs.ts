import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Readable } from "node:stream";
import type { TunnelInputSchema } from "../../proto/gen/agyn/tunnels/v1/tunnel_pb.ts";
import { Handover } from "../../wire/handover.ts";
import { tunnelPiece_bytes } from "../../wire/tunnel-bounds.ts";

type Input = NonNullable<MessageInitShape<typeof TunnelInputSchema>["kind"]>;

/** What a caller says through a tunnel: its first message, then data and more as it comes, at the pace of the other end. */
export class TunnelInputs<S> {
  readonly #said = new Handover<Input>();
  readonly #first: { workload: string; organization: string; start: S };

  constructor(first: { workload: string; organization: string; start: S }) {
    this.#first = first;
  }

  say(kind: Input): Promise<void> {
    return this.#said.push(kind);
  }

  /** Sends all that a source gives. */
  async sendAll(source: AsyncIterable<Uint8Array> | Readable): Promise<void> {
    for await (const bytes of source as AsyncIterable<Uint8Array>) {
      for (let at = 0; at < bytes.length; at += tunnelPiece_bytes)
        await this.say({ case: "data", value: bytes.subarray(at, at + tunnelPiece_bytes) });
    }
  }

  async *requests() {
    const { workload, organization, start } = this.#first;
    yield { workload, organization, kind: { case: "start" as const, value: start } };
    for await (const kind of this.#said.values()) yield { kind: { case: "input" as const, value: { kind } } };
  }
}
