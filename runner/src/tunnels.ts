/**
 * The tunnels that this runner was told to open: each a call of its own, joined with the way into one workload.
 *
 * What comes over a call is read at once, so that its end is never missed while a command takes nothing; the control plane sends no more
 * than a window that was not said to be taken (I9).
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import type { Logger } from "pino";
import type { TunnelInput, TunnelStart } from "../../proto/gen/agyn/tunnels/v1/tunnel_pb.ts";
import { TunnelRequestSchema, TunnelsService } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { inputWeight_bytes, tunnelWindow_bytes } from "../../wire/tunnel-bounds.ts";
import type { Entrance } from "./executors/executor.ts";
import { Handover } from "../../wire/handover.ts";
import type { HoldingRef } from "./holding.ts";
import { cutText } from "./messages.ts";
import { messageOf } from "./refusal.ts";
import { serveTunnel, TunnelRefused } from "./tunnel-server.ts";

/** Tunnels at one time: they share the connection's 64 streams with all else. */
export const maximumTunnels = 48;

const maximumMessageBytes = 1024;

export type TunnelsDeps = {
  /** Nobody is let in, whoever asks. */
  isShut: boolean;
  /** Throws a `TunnelRefused`. */
  wayInto: (of: HoldingRef) => Entrance;
  log: Logger;
};

/** Where a tunnel is opened, until `close`. */
export type TunnelConnection = { transport: Transport; close: () => void };

/** What is said over a tunnel. */
type Said = NonNullable<MessageInitShape<typeof TunnelRequestSchema>["kind"]>;

export class Tunnels {
  readonly #deps: TunnelsDeps;
  readonly #open = new Set<AbortController>();

  constructor(deps: TunnelsDeps) {
    this.#deps = deps;
  }

  /** Opens a tunnel and serves it to its end; never rejects. */
  async open(tunnelId: string, dial: () => Promise<TunnelConnection>): Promise<void> {
    if (this.#deps.isShut) return;
    const ending = new AbortController();
    const isOneTooMany = this.#open.size >= maximumTunnels;
    this.#open.add(ending);
    let connection: TunnelConnection | undefined;
    try {
      connection = await dial();
      await this.#serve(tunnelId, connection.transport, { ending, isOneTooMany });
    } catch (error) {
      this.#deps.log.debug({ tunnel_id: tunnelId, error: messageOf(error) }, "tunnel ended");
    } finally {
      ending.abort();
      this.#open.delete(ending);
      connection?.close();
    }
  }

  /** Ends all that are open. */
  close(): void {
    for (const ending of this.#open) ending.abort();
  }

  async #serve(
    tunnelId: string,
    transport: Transport,
    { ending, isOneTooMany }: { ending: AbortController; isOneTooMany: boolean },
  ): Promise<void> {
    const said = new Handover<Said>();
    const say = (message: Said): Promise<void> => said.push(message);
    const inputs = new Handover<TunnelInput>();
    void say({ case: "open", value: tunnelId });
    const call = createClient(TunnelsService, transport).tunnel(requests(said), { signal: ending.signal });
    let untakenBytes = 0;
    const take = async (input: TunnelInput): Promise<void> => {
      const bytes = inputWeight_bytes(input);
      untakenBytes += bytes;
      if (untakenBytes > tunnelWindow_bytes) throw new Error(`more than ${tunnelWindow_bytes} bytes came untaken`);
      await inputs.push(input);
      untakenBytes -= bytes;
      void say({ case: "taken", value: bytes });
    };
    try {
      for await (const { kind } of call) {
        if (kind.case === "input") take(kind.value).catch((error: unknown) => ending.abort(error));
        else if (kind.case === "start" && isOneTooMany)
          void refuse(new TunnelRefused("LIMIT", `${maximumTunnels} tunnels into this runner are open already`), said);
        else if (kind.case === "start") void this.#answer(kind.value, { said, inputs, ending });
      }
    } finally {
      inputs.end();
    }
  }

  /** Does what is wanted and says what comes of it; never rejects. */
  async #answer(
    { workloadId, fence, kind }: TunnelStart,
    { said, inputs, ending }: { said: Handover<Said>; inputs: Handover<TunnelInput>; ending: AbortController },
  ): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, ending.signal]);
    try {
      const entrance = this.#deps.wayInto({ workloadId, fence });
      void entrance.ended.then(() => over.abort(new TunnelRefused("STATE", "the workload has ended")));
      const outputs = serveTunnel(kind, { entrance, inputs: inputs.values(), signal });
      for await (const value of outputs) await said.push({ case: "output", value });
      said.end();
    } catch (error) {
      await refuse(error, said);
    }
  }
}

async function refuse(error: unknown, said: Handover<Said>): Promise<void> {
  const reason = error instanceof TunnelRefused ? error.reason : "UNAVAILABLE";
  const message = cutText(messageOf(error), maximumMessageBytes);
  void said.push({ case: "refused", value: { reason, message } });
  said.end();
}

async function* requests(said: Handover<Said>): AsyncGenerator<MessageInitShape<typeof TunnelRequestSchema>> {
  for await (const kind of said.values()) yield create(TunnelRequestSchema, { kind });
}
