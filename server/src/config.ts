import { join, resolve } from "node:path";
import { readConfigFile } from "./config-file.ts";
import { settings, type DurationName, type SettingName } from "./settings.ts";
import type { PendingLimits } from "./loops/pending-room.ts";
import type { ArtifactLimits } from "./artifacts/workload-artifacts.ts";
import type { S3Place } from "./blobs/s3-place.ts";
import { readS3Place } from "./s3-settings.ts";
import { readSidecarPlaces, type SidecarPlaces } from "./sidecar-settings.ts";
import { readNetworkPlace, readOverlays, type NetworkPlace, type OverlayName } from "./network-settings.ts";
import {
  ConfigError,
  flagOf,
  isLoopback,
  isWildcard,
  parseAddress,
  parseBoolean,
  parseDuration,
  parseInteger,
  parseNetworks,
  unknown,
  type Address,
} from "./setting-values.ts";

export { ConfigError, isLoopback, isWildcard, type Address };

/** The whole configuration; durations in ms. */
export type Config = ArtifactLimits & {
  dataDir: string;
  blobDir: string;
  /** Where blobs lie instead, if anywhere. */
  s3: S3Place | undefined;
  databaseUrl: string | undefined;
  masterKeyFile: string;
  listen: Address;
  runnerListen: Address;
  runnerAddress: Address | undefined;
  tunnelAddress: Address | undefined;
  tunnelIdle_ms: number;
  /** How runners reach the runner plane, in the order in which they are told. */
  overlays: readonly OverlayName[];
  /** The tunnelers, where they are one of them. */
  sidecar: SidecarPlaces | undefined;
  /** The OpenZiti network, where that is one of them. */
  network: NetworkPlace | undefined;
  tls: { cert: string; key: string } | undefined;
  trustedProxies: readonly string[];
  openMetrics: boolean;
  trustDomain: string | undefined;
  logLevel: string;
  heartbeat_ms: number;
  lease_ms: number;
  leaderLease_ms: number;
  loopPeriod_ms: number;
  revocationPeriod_ms: number;
  certificateTtl_ms: number;
  expiredRenewal_ms: number;
  pendingTimeout_ms: number;
  /** Of each organization. */
  pendingLimits: PendingLimits;
  queueTimeout_ms: number;
  fileSources: boolean;
  outgoingPrivate: boolean;
  hookBody_bytes: number;
  deliveryRetention_ms: number;
  webhookRetry_ms: number;
  webhookDisableAfter_ms: number;
  rejectionExclusion_ms: number;
  metricsInterval_ms: number;
  workloadRetention_ms: number;
  runRetention_ms: number;
  auditRetention_ms: number;
  shutdownGrace_ms: number;
  databaseConnections: number;
};

/** What each setting is and where it came from. */
export type Source = "flag" | "environment" | "file" | "default";
export type Settled = Record<SettingName, { value: string | undefined; source: Source }>;

/** Collects the settings; an unknown or ill-typed one is an error that names it and the nearest valid one. */
export function settle(
  flags: Record<string, string>,
  environment: NodeJS.ProcessEnv,
  file: string | undefined,
): Settled {
  const fromFile = file === undefined ? {} : readConfigFile(file);
  for (const name of Object.keys(flags)) if (!Object.hasOwn(settings, name)) throw unknownFlag(name);
  const entries = (Object.keys(settings) as SettingName[]).map((name) => {
    const variable = `AGYN_${name.toUpperCase()}`;
    // A variable that is empty says nothing, as where a composition passes on one that is not set.
    const fromEnvironment =
      environment[variable] || (name === "database_url" && environment["DATABASE_URL"]) || undefined;
    if (flags[name] !== undefined) return [name, { value: flags[name], source: "flag" }];
    if (fromEnvironment !== undefined) return [name, { value: fromEnvironment, source: "environment" }];
    if (fromFile[name] !== undefined) return [name, { value: fromFile[name], source: "file" }];
    return [name, { value: settings[name].default, source: "default" }];
  });
  return Object.fromEntries(entries) as Settled;
}

/** A flag that is no setting's, with the nearest that is. */
export function unknownFlag(name: string): ConfigError {
  return unknown(`unknown flag ${flagOf(name)}`, flagOf(name), Object.keys(settings).map(flagOf));
}

/** The record that the server runs with. */
export function toConfig(settled: Settled): Config {
  for (const [name, { value }] of Object.entries(settled))
    if (value === "" && settings[name as SettingName].default !== "")
      throw new ConfigError(`${name}: must not be empty`);
  const text = (name: SettingName) => settled[name].value;
  const duration = (name: DurationName) => parseDuration(name, text(name) ?? "", settings[name].range);
  const bytes = (name: SettingName) => parseInteger(name, text(name) ?? "", 1, 2 ** 50);
  const address = (name: SettingName) => parseAddress(name, text(name) ?? "");
  const optionalAddress = (name: SettingName) => (text(name) === undefined ? undefined : address(name));
  const dataDir = resolve(text("data_dir")!);
  const [cert, key] = [text("tls_cert"), text("tls_key")];
  if ((cert === undefined) !== (key === undefined)) throw new ConfigError("tls_cert and tls_key go together");
  const config: Config = {
    dataDir,
    blobDir: resolve(text("blob_dir") ?? join(dataDir, "blobs")),
    s3: readS3Place(text),
    databaseUrl: text("database_url"),
    masterKeyFile: text("master_key_file") ?? join(dataDir, "master.key"),
    listen: address("listen"),
    runnerListen: address("runner_listen"),
    runnerAddress: optionalAddress("runner_address"),
    tunnelAddress: optionalAddress("tunnel_address"),
    tunnelIdle_ms: duration("tunnel_idle"),
    overlays: readOverlays(text("overlay")!),
    sidecar: readSidecarPlaces(text),
    network: readNetworkPlace(text),
    tls: cert === undefined || key === undefined ? undefined : { cert, key },
    trustedProxies: parseNetworks("trusted_proxies", text("trusted_proxies")!),
    openMetrics: parseBoolean("open_metrics", text("open_metrics")!),
    trustDomain: text("trust_domain"),
    logLevel: text("log_level")!,
    heartbeat_ms: duration("heartbeat"),
    lease_ms: duration("lease"),
    leaderLease_ms: duration("leader_lease"),
    loopPeriod_ms: duration("loop_period"),
    revocationPeriod_ms: duration("revocation_period"),
    certificateTtl_ms: duration("certificate_ttl"),
    expiredRenewal_ms: duration("expired_renewal"),
    pendingTimeout_ms: duration("pending_timeout"),
    pendingLimits: {
      maximumWorkloads: parseInteger("pending_maximum_workloads", text("pending_maximum_workloads")!, 1, 1_000_000),
      maximum_bytes: bytes("pending_maximum_bytes"),
    },
    queueTimeout_ms: duration("queue_timeout"),
    artifactMaximum_bytes: bytes("artifact_maximum_bytes"),
    runArtifactsMaximum_bytes: bytes("run_artifacts_maximum_bytes"),
    bundleMaximum_bytes: bytes("bundle_maximum_bytes"),
    artifactRetention_ms: duration("artifact_retention"),
    artifactUploadTimeout_ms: duration("artifact_upload_timeout"),
    fileSources: parseBoolean("file_sources", text("file_sources")!),
    outgoingPrivate: parseBoolean("outgoing_private", text("outgoing_private")!),
    hookBody_bytes: parseInteger("hook_body", text("hook_body")!, 1000, 25_000_000),
    deliveryRetention_ms: duration("delivery_retention"),
    webhookRetry_ms: duration("webhook_retry"),
    webhookDisableAfter_ms: duration("webhook_disable_after"),
    rejectionExclusion_ms: duration("rejection_exclusion"),
    metricsInterval_ms: duration("metrics_interval"),
    workloadRetention_ms: duration("workload_retention"),
    runRetention_ms: duration("run_retention"),
    auditRetention_ms: duration("audit_retention"),
    shutdownGrace_ms: duration("shutdown_grace"),
    databaseConnections: parseInteger("database_connections", text("database_connections")!, 2, 1000),
  };
  checkTogether(config, settled);
  return config;
}

function checkTogether(config: Config, settled: Settled): void {
  if (!["trace", "debug", "info", "warn", "error", "silent"].includes(config.logLevel)) {
    throw new ConfigError(`log_level: "${config.logLevel}" is not one of trace, debug, info, warn, error, silent`);
  }
  if (config.lease_ms < 2 * config.heartbeat_ms) throw new ConfigError("lease: must be at least two heartbeats");
  const insecure = parseBoolean("insecure_listen", settled.insecure_listen.value!);
  if (!config.tls && !insecure && !isLoopback(config.listen.host)) {
    throw new ConfigError(
      `listen: ${config.listen.host} is reachable from other machines, and access tokens would cross the network in clear: set tls_cert and tls_key, or insecure_listen if a proxy in front speaks TLS`,
    );
  }
  if (config.overlays.includes("mtls") && config.runnerAddress === undefined && isWildcard(config.runnerListen.host)) {
    throw new ConfigError(
      `runner_address: needed with runner_listen ${config.runnerListen.host}, because runners must be told where to dial: give the name or address of this machine that they reach, such as agyn.example.org:${config.runnerListen.port}`,
    );
  }
  if (config.databaseUrl !== undefined && settled.master_key_file.value === undefined) {
    throw new ConfigError("master_key_file: needed with database_url, so that every replica seals with the same key");
  }
}
