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

/** Tunnels at one time, whichever way they come: those over the session's connection share its 64 streams with all else. */
export const maximumTunnels = 48;

const maximumMessageBytes = 1024;

export type TunnelsDeps = {
  /** Nobody is let in, whoever asks. */
  isShut: boolean;
  /** Throws a `TunnelRefused`. */
  wayInto: (of: HoldingRef) => Entrance;
  /** This runner serves every organization. */
  isShared: () => boolean;
  /** A shared runner forwards to the ports of its machine all the same. */
  forwardsShared: boolean;
  log: Logger;
};

/** Where a tunnel is opened, until `close`. */
export type TunnelConnection = { transport: Transport; close: () => void };

/** What is said over a tunnel. */
type Said = NonNullable<MessageInitShape<typeof TunnelRequestSchema>["kind"]>;

export class Tunnels {
  readonly #deps: TunnelsDeps;
  readonly #open = new Set<AbortController>();
  /** Whose tunnels are served, each once for each. */
  readonly #served: string[] = [];

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
      if (this.#deps.isShared()) this.#refuseShared(kind.case, entrance.organizationId);
      this.#count(entrance.organizationId, ending.signal);
      void entrance.ended.then(() => over.abort(new TunnelRefused("STATE", "the workload has ended")));
      const outputs = serveTunnel(kind, { entrance, inputs: inputs.values(), signal });
      for await (const value of outputs) await said.push({ case: "output", value });
      said.end();
    } catch (error) {
      await refuse(error, said);
    }
  }

  /**
   * What a machine that many organizations use gives to none of them: its own ports, which all jobs there share, unless its operator
   * says so (I7); and more than half of the tunnels that the others leave, so that there is always one for who comes next (I13).
   */
  #refuseShared(wanted: TunnelStart["kind"]["case"], organizationId: string): void {
    if (wanted === "forward" && !this.#deps.forwardsShared) {
      const why = "this runner serves every organization, and forwards to no port of its machine";
      throw new TunnelRefused("STATE", `${why} unless it is started with --unsafe-shared-forward`);
    }
    const own = this.#served.filter((served) => served === organizationId).length;
    if (own < maximumTunnels - this.#served.length) return;
    const why = `this organization has ${own} tunnels into this runner open already`;
    throw new TunnelRefused("LIMIT", `${why}, and it serves every organization: no more than are left to the others`);
  }

  /** Counts a tunnel of an organization until it ends; its reader may be gone before it comes to its own end. */
  #count(organizationId: string, ending: AbortSignal): void {
    ending.throwIfAborted();
    this.#served.push(organizationId);
    const leave = (): void => void this.#served.splice(this.#served.indexOf(organizationId), 1);
    ending.addEventListener("abort", leave, { once: true });
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
