import { randomBytes } from "node:crypto";
import type { Fabric, FabricIdentity, FabricOptions } from "../../support/fabric/fabric.ts";
import { startFabric } from "../../support/fabric/fabric.ts";
import type { Service } from "../../support/fabric/model.ts";
import { oidcLogin } from "./oidc-login.ts";
import { hello, legacyLogin, serviceSession, type RawEdge, type RawFrame } from "./raw-client.ts";

type Headers = Parameters<RawEdge["send"]>[1];
export type LoginKind = "legacy" | "oidc";

/** A fabric with one service, an identity that may host it and one that may dial it. */
export interface EdgeWorld {
  readonly fabric: Fabric;
  readonly host: FabricIdentity;
  readonly caller: FabricIdentity;
  readonly service: Service;
  /** The policies that let `host` bind and `caller` dial. */
  readonly policies: { readonly bind: string; readonly dial: string };
  /** Logs in and says Hello. */
  enter(who: FabricIdentity, options?: EnterOptions): Promise<Entered>;
  /** Enters as the host and binds the service; `headers` are added to those of a Bind. */
  bound(options?: EnterOptions & { readonly headers?: Headers }): Promise<Bound>;
  /** Dials as the caller; `bound` answers, and both ends are connected. */
  connected(bound: Bound, options?: EnterOptions): Promise<Connected>;
}

export interface EnterOptions {
  readonly login?: LoginKind;
  readonly router?: string;
}

export interface Entered {
  readonly edge: RawEdge;
  /** The token of the API session. */
  readonly token: string;
}

export interface Bound extends Entered {
  readonly connId: number;
  /** The token of the service session. */
  readonly permit: string;
}

export interface Connected extends Entered {
  readonly connId: number;
  readonly hostConnId: number;
  readonly permit: string;
  /** What the host was asked. */
  readonly dial: RawFrame;
}

export const bindConnId = 1;
export const callerConnId = 7;

/** What a Bind must have. */
export function bindHeaders(): Record<number, Buffer | number | boolean> {
  return { 1000: bindConnId, 1001: 0, 1003: randomBytes(32), 1012: true, 1021: randomBytes(32) };
}

/** What a Connect must have. */
export function connectHeaders(): Record<number, Buffer | string | number> {
  return { 1000: callerConnId, 1001: 0, 1003: randomBytes(32), 1008: "me", 1025: "m-1" };
}

export async function openEdgeWorld(options: FabricOptions = {}): Promise<EdgeWorld> {
  const fabric = await startFabric(options);
  const host = await fabric.addIdentity("host");
  const caller = await fabric.addIdentity("caller");
  const service = fabric.addService("echo");
  const bind = fabric.permit("Bind", [`@${host.id}`], service);
  const dial = fabric.permit("Dial", [`@${caller.id}`], service);

  async function enter(who: FabricIdentity, { login = "legacy", router }: EnterOptions = {}): Promise<Entered> {
    const token = login === "legacy" ? await legacyLogin(fabric, who) : (await oidcLogin(fabric, who)).access;
    return { edge: await hello(fabric, who, token, router), token };
  }
  return {
    fabric,
    host,
    caller,
    service,
    policies: { bind, dial },
    enter,
    async bound({ headers, ...entering } = {}) {
      const { edge, token } = await enter(host, entering);
      const permit = await serviceSession(fabric, token, service.id, "Bind");
      edge.send(60790, { ...bindHeaders(), ...headers }, permit);
      await edge.expect(60784);
      return { edge, token, permit, connId: bindConnId };
    },
    async connected(listening, entering = {}) {
      const { edge, token } = await enter(caller, entering);
      const permit = await serviceSession(fabric, token, service.id, "Dial");
      edge.send(60783, connectHeaders(), permit);
      const dialed = await listening.edge.expect(60787);
      const chosen = dialed.headers[1012] ?? Buffer.alloc(4);
      listening.edge.send(60788, { 1: dialed.sequence, 1000: bindConnId, 1001: 0 }, chosen);
      await edge.expect(60784);
      return { edge, token, permit, dial: dialed, connId: callerConnId, hostConnId: chosen.readUInt32LE(0) };
    },
  };
}
