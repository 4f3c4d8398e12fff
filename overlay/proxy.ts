import type { Duplex } from "node:stream";
import tls from "node:tls";
import { OverlayError } from "./errors.ts";
import { connectTcp, type HostAndPort } from "./tcp.ts";

/** The usual proxy settings, in the meaning of `HTTPS_PROXY` and `NO_PROXY`. */
export interface ProxySettings {
  /** `http://[user:password@]host[:port]`, or `https://…`. */
  readonly httpsProxy?: string;
  /** Hosts reached directly: names, which cover their subdomains, `host:port`, or `*` for all; separated by commas. */
  readonly noProxy?: string;
}

/** Longest answer to CONNECT, in bytes. */
const maxAnswer_bytes = 8192;

/** The proxy for an endpoint, or `undefined` where it is reached directly. Throws where the setting is not a URL. */
export function proxyFor(endpoint: HostAndPort, { httpsProxy, noProxy }: ProxySettings): URL | undefined {
  if (httpsProxy === undefined || httpsProxy === "" || isExempt(endpoint, noProxy ?? "")) return undefined;

  const proxy = URL.parse(httpsProxy);
  if (proxy === null || !["http:", "https:"].includes(proxy.protocol)) {
    throw new OverlayError("proxy_refused", "the proxy setting is not an http:// or https:// URL");
  }
  return proxy;
}

function isExempt({ host, port }: HostAndPort, noProxy: string): boolean {
  const name = host.toLowerCase();
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .map((entry) => entry.replace(/^\*?\./, ""))
    .some((entry) => entry === "*" || name === entry || name.endsWith(`.${entry}`) || `${name}:${port}` === entry);
}

/** Opens a connection to an endpoint through an HTTP proxy by CONNECT (RFC 9110, 9.3.6). */
export async function openTunnel(proxy: URL, endpoint: HostAndPort, signal: AbortSignal): Promise<Duplex> {
  const connection = await connectProxy(proxy, signal);
  const onAbort = () => connection.destroy(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    connection.write(connectRequest(proxy, endpoint));
    await readAnswer(connection, proxy.host);
    return connection;
  } catch (error) {
    connection.on("error", () => {});
    connection.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function connectProxy(proxy: URL, signal: AbortSignal): Promise<Duplex> {
  const secure = proxy.protocol === "https:";
  const host = proxy.hostname.replace(/^\[|\]$/g, "");
  const socket = await connectTcp({ host, port: Number(proxy.port || (secure ? 443 : 80)) }, signal);
  return secure ? tls.connect({ socket, servername: host, ALPNProtocols: ["http/1.1"] }) : socket;
}

function connectRequest(proxy: URL, { host, port }: HostAndPort): string {
  const authority = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  const authorization = `Proxy-Authorization: Basic ${Buffer.from(credentials).toString("base64")}\r\n`;
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${proxy.username === "" ? "" : authorization}\r\n`;
}

/** Resolves at a 2xx answer, with whatever came behind it put back; rejects at any other. */
function readAnswer(connection: Duplex, proxyName: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let answer = Buffer.alloc(0);
  const refuse = (why: string) => reject(new OverlayError("proxy_refused", `proxy ${proxyName} ${why}`));

  const onReadable = () => {
    for (let piece: Buffer | null; (piece = connection.read() as Buffer | null) !== null;)
      answer = Buffer.concat([answer, piece]);
    const end = answer.indexOf("\r\n\r\n");
    if (end < 0) {
      if (answer.length > maxAnswer_bytes) refuse(`sent more than ${maxAnswer_bytes} bytes of headers`);
      return;
    }

    const status = /^HTTP\/1\.[01] (\d{3})/.exec(answer.toString("latin1", 0, end))?.[1];
    if (status === undefined) return refuse("does not speak HTTP");
    if (!status.startsWith("2")) return refuse(`answered ${status}`);
    connection.off("readable", onReadable);
    if (answer.length > end + 4) connection.unshift(answer.subarray(end + 4));
    resolve();
  };
  const onEnd = () => refuse("closed the connection");
  connection.on("readable", onReadable).once("end", onEnd).once("close", onEnd).once("error", reject);
  return promise.finally(() => {
    connection.off("readable", onReadable).off("end", onEnd).off("close", onEnd).off("error", reject);
  });
}
