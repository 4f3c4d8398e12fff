import type { Config } from "./config.ts";
import type { NetworkEndpoint } from "./open-network.ts";
import type { Address } from "./setting-values.ts";

/** A way to the runner plane, as runners are told of it. */
export type RunnerEndpoint = { kind: { case: "mtls" | "sidecar"; value: string } | NetworkEndpoint["kind"] };

/** The ways to a runner plane, from where it listens, if it does, and the network that it is hosted in, if it is. */
export function createRunnerEndpoints(config: Config, network: NetworkEndpoint | undefined) {
  let listening = config.overlays.includes("mtls") ? config.runnerListen : undefined;
  const address = () => listening && (config.runnerAddress ?? listening);

  /** In the order in which runners try them, which is that of the settings. */
  const all = (): RunnerEndpoint[] => {
    const tcp = address();
    const of = {
      mtls: tcp && { kind: { case: "mtls" as const, value: toText(tcp) } },
      openziti: network,
      sidecar: config.sidecar && { kind: { case: "sidecar" as const, value: config.sidecar.address } },
    };
    return config.overlays.flatMap((name) => of[name] ?? []);
  };
  return {
    /** Where to listen. */
    listen: { tcp: listening, sidecar: config.sidecar?.listen },
    /** Says which address it became. */
    opened: (at: Address | undefined) => void (listening = at),
    all,
    /** "host:port" at which runners reach this replica and no other, if they can. */
    own: () => {
      const own = config.tunnelAddress ?? address();
      return own && toText(own);
    },
    /** For people: "host:port", the service of a network, or where a tunneler is. */
    texts: () => all().map(({ kind }) => textOf(kind)),
  };
}

function textOf(kind: RunnerEndpoint["kind"]): string {
  if (kind.case === "mtls") return kind.value;
  return `${kind.case}:${kind.case === "openziti" ? kind.value.service : kind.value}`;
}

/** "host:port", an IPv6 host in brackets. */
function toText({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
