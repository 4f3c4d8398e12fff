import type { ControllerState } from "./state.ts";

const builds = {
  "1.6.20": { revision: "f1c2d3e4a5b6", buildDate: "2026-03-02T10:00:00Z" },
  "2.0.3": { revision: "0a1b2c3d4e5f", buildDate: "2026-06-15T10:00:00Z" },
} as const;

/** What `/version` says. */
export function versionJson({ version, oidc, origin }: ControllerState): object {
  const paths = {
    edge: "/edge/client/v1",
    "edge-client": "/edge/client/v1",
    "edge-management": "/edge/management/v1",
    ...(oidc ? { "edge-oidc": "/oidc" } : {}),
  };
  const apiVersions = Object.fromEntries(
    Object.entries(paths).map(([name, path]) => [name, { v1: { path, apiBaseUrls: [`${origin()}${path}`] } }]),
  );
  return {
    version: `v${version}`,
    ...builds[version],
    runtimeVersion: "go1.24",
    apiVersions,
    capabilities: oidc ? ["OIDC_AUTH"] : [],
  };
}

/** How a router of a release tells it in its Hello. */
export function routerVersion(version: keyof typeof builds): string {
  const { revision, buildDate } = builds[version];
  return `v${version}|${revision}|${buildDate}|linux|amd64`;
}
