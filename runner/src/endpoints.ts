import type { Endpoint } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { parseHostAndPort, type HostAndPort } from "../../overlay/tcp.ts";
import type { RunnerEndpoint } from "./identity-store.ts";

/** What the control plane named, as it is kept; a kind that this runner does not know is passed over. */
export function readEndpoints(endpoints: readonly Endpoint[]): RunnerEndpoint[] {
  return endpoints.flatMap(({ kind }): RunnerEndpoint[] => {
    switch (kind.case) {
      case "mtls":
      case "sidecar":
        return [{ kind: kind.case, address: kind.value }];
      case "openziti": {
        const { controllerUrl, otherControllerUrls, controllerCaPem, service, networkCertificate } = kind.value;
        return [{ kind: "openziti", controllerUrl, otherControllerUrls, controllerCaPem, service, networkCertificate }];
      }
      case undefined:
        return [];
    }
  });
}

/** For people. */
export function describeEndpoint(endpoint: RunnerEndpoint): string {
  if (endpoint.kind === "openziti") return `service ${endpoint.service} of the network at ${endpoint.controllerUrl}`;
  return endpoint.kind === "mtls" ? endpoint.address : `the tunneler at ${endpoint.address}`;
}

/** The parts of "host:port", an IPv6 host in brackets. Throws where `text` is not that. */
export function parseAddress(text: string): HostAndPort {
  const place = parseHostAndPort(text);
  if (place === undefined) throw new Error(`endpoint ${JSON.stringify(text)} is not host:port`);
  return place;
}
