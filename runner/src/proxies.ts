/** The HTTP proxies through which the runner dials out. */
import http from "node:http";
import https from "node:https";
import { proxyFor, type ProxySettings } from "../../overlay/proxy.ts";
import { FatalError } from "./fatal-error.ts";

/** Beside the proxy for TLS, the gateway's and the runner plane's: the one for a gateway without. */
export type Proxies = ProxySettings & { readonly httpProxy?: string };

/** The variables that say so, in the order in which they count. Their values may hold a password. */
export const proxyVariables = {
  httpsProxy: ["https_proxy", "HTTPS_PROXY"],
  httpProxy: ["http_proxy", "HTTP_PROXY"],
} as const;

/** What is on this machine is behind no proxy. */
const loopback = "localhost,127.0.0.1,::1";

/** What the flag `--proxy`, for everything, and the environment say. Throws a `FatalError` that repeats no URL. */
export function proxiesOf(flag: string | undefined, environment: NodeJS.ProcessEnv): Proxies {
  const noProxy = [loopback, environment["no_proxy"] ?? environment["NO_PROXY"] ?? ""].join(",");
  if (flag !== undefined) {
    if (toProxy("--proxy", flag).username !== "") {
      throw new FatalError(
        "usage",
        "--proxy: others can read what is on a command line; a user and password belong in HTTPS_PROXY",
      );
    }
    return { httpsProxy: flag, httpProxy: flag, noProxy };
  }
  const httpsProxy = fromEnvironment(proxyVariables.httpsProxy, environment);
  const httpProxy = fromEnvironment(proxyVariables.httpProxy, environment);
  return { ...(httpsProxy && { httpsProxy }), ...(httpProxy && { httpProxy }), noProxy };
}

function fromEnvironment(names: readonly string[], environment: NodeJS.ProcessEnv): string | undefined {
  const name = names.find((one) => environment[one] !== undefined && environment[one] !== "");
  return name === undefined ? undefined : toProxy(name, environment[name] ?? "").href;
}

function toProxy(source: string, text: string): URL {
  const proxy = URL.parse(text);
  if (proxy === null || !["http:", "https:"].includes(proxy.protocol)) {
    throw new FatalError("usage", `${source} is not an http:// or https:// URL`);
  }
  try {
    decodeURIComponent(proxy.username + proxy.password);
  } catch {
    throw new FatalError("usage", `${source}: its user or password is not percent-encoded as it should be`);
  }
  return proxy;
}

/** Makes the calls to the gateway go through its proxy: by CONNECT to one with TLS; `undefined` where it is reached directly. */
export function gatewayAgent(gateway: string, proxies: Proxies): http.Agent | undefined {
  const { protocol, hostname, port } = new URL(gateway);
  const isSecure = protocol === "https:";
  const endpoint = { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || (isSecure ? 443 : 80)) };
  const { httpsProxy, httpProxy = "", noProxy = "" } = proxies;
  const proxy = proxyFor(endpoint, { httpsProxy: (isSecure ? httpsProxy : httpProxy) ?? "", noProxy });
  if (proxy === undefined) return undefined;
  return isSecure
    ? new https.Agent({ proxyEnv: { HTTPS_PROXY: proxy.href } })
    : new http.Agent({ proxyEnv: { HTTP_PROXY: proxy.href } });
}
