/** How the gateway is reached, where a runner without a good identity gets one: by its URL, or over an OpenZiti network. */
import type http from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";
import { Code, ConnectError, createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { OverlayError } from "../../overlay/errors.ts";
import { createOpenZitiOverlay, type OpenZitiOverlay } from "../../overlay/openziti/openziti.ts";
import type { Credential } from "../../overlay/openziti/credential.ts";
import { openPinnedSocket } from "../../overlay/secure-client.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import type { GatewayTrust } from "../../wire/gateway-trust.ts";
import { enrollmentCallTimeoutMs } from "./enroll.ts";
import { gatewayAgent, type Proxies } from "./proxies.ts";

/** URL of the control plane's user port, or who may dial its enrollment service in a network, with `https://host:port` of its controllers. */
export type Gateway = string | (Credential & { readonly controllers: readonly string[] });

export type GatewayOptions = {
  gateway: Gateway;
  /** How the gateway at a URL is known by TLS; otherwise by the authorities that this machine trusts. */
  gatewayTrust?: GatewayTrust | undefined;
  proxies: Proxies;
  /** By what the control plane is known over a network. Throws where nothing says so. */
  rootPin: () => Uint8Array;
  version: string;
};

/** What the service of a network by which the gateway is reached is called; something may stand before it. */
const enrollmentService = "agyn-enroll";

/** Opens nothing before the first call. */
export function openGateway(options: GatewayOptions): { client: Client<typeof RunnersService>; close(): void } {
  const { gateway, gatewayTrust, proxies } = options;
  const isUrl = typeof gateway === "string";
  const agent = isUrl ? gatewayAgent(gateway, proxies) : new NetworkAgent(() => dialEnrollment(gateway, options));
  const nodeOptions = { ...(isUrl && gatewayTrust), ...(agent && { agent }) };
  const baseUrl = isUrl ? gateway : `https://${enrollmentService}`;
  const interceptors = isUrl ? [tlsMisfits(gateway)] : [];
  const transport = createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions, interceptors });
  return { client: createClient(RunnersService, transport), close: () => agent?.destroy() };
}

/** Asks after the scheme where one side seems to speak TLS and the other does not: what the system says of it helps nobody. */
function tlsMisfits(gateway: string): Interceptor {
  const { protocol, origin } = new URL(gateway);
  return (next) => async (request) => {
    try {
      return await next(request);
    } catch (error) {
      const { cause } = ConnectError.from(error);
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
      if (protocol === "http:" && /^(ECONNRESET|EPIPE)$/.test(code))
        throw new ConnectError(`${origin} ended the connection: is it https:// there?`, Code.Unavailable);
      if (protocol === "https:" && /^(ERR_SSL_|EPROTO$)/.test(code))
        throw new ConnectError(`${origin} does not speak TLS: is it http:// there?`, Code.Unavailable);
      throw error;
    }
  };
}

/** Each connection is a login of its own, since months may lie between two of them; it logs out once the connection is closed. */
async function dialEnrollment(
  { controllers, ...credential }: Exclude<Gateway, string>,
  { rootPin, version }: GatewayOptions,
): Promise<Duplex> {
  const settings = { label: { name: "agyn-runner", version } };
  const overlay = createOpenZitiOverlay({ controller: controllers, credential: () => credential, settings });
  try {
    const dial = async (signal: AbortSignal) =>
      overlay.dial({ service: await findEnrollment(overlay, signal) }, { signal });
    const signal = AbortSignal.timeout(enrollmentCallTimeoutMs);
    return await openPinnedSocket(dial, { rootPin: rootPin(), signal });
  } finally {
    void overlay.close();
  }
}

/** The one service for enrollment that this identity may dial: of several installations in a network, it is of one. */
async function findEnrollment(overlay: OpenZitiOverlay, signal: AbortSignal): Promise<string> {
  const services = await overlay.services({ signal });
  const may = services.filter(
    ({ name, permissions }) => name.endsWith(enrollmentService) && permissions.includes("Dial"),
  );
  const [found, another] = may.map(({ name }) => name);
  if (found === undefined)
    throw new OverlayError("unauthorized", `this identity may dial no service ${enrollmentService}`);
  if (another === undefined) return found;
  throw new OverlayError(
    "unauthorized",
    `this identity may dial ${found} and ${another}: let it dial one of them only`,
  );
}

/** Keeps a connection for the calls that follow at once; the other end closes it soon. */
class NetworkAgent extends https.Agent {
  readonly #dial: () => Promise<Duplex>;

  constructor(dial: () => Promise<Duplex>) {
    super({ keepAlive: true, maxSockets: 1 });
    this.#dial = dial;
  }

  override createConnection(_options: http.ClientRequestArgs, onConnected: OnConnected): undefined {
    this.#dial().then(
      (socket) => onConnected(null, socket),
      (error: unknown) => onConnected(error instanceof Error ? error : new Error(String(error)), undefined),
    );
  }
}

type OnConnected = (error: Error | null, socket: Duplex | undefined) => void;
