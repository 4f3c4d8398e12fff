import { isIP } from "node:net";
import { join, resolve } from "node:path";
import { readConfigFile } from "./config-file.ts";
import type { ArtifactLimits } from "./artifacts/workload-artifacts.ts";
import {
  ConfigError,
  parseAddress,
  parseBoolean,
  parseDuration,
  parseInteger,
  unknown,
  type Address,
} from "./setting-values.ts";

export { ConfigError, type Address };

/** What a setting holds; durations are written like `10s` and kept in ms. */
type Kind = "text" | "secret" | "address" | "duration" | "integer" | "boolean";
/** `range`: the least and the most of a duration. */
type Setting = { kind: Kind; default: string | undefined; range?: readonly [string, string]; help: string };

/**
 * Every setting, under its name in `agyn.toml`. The flag is `--name-with-hyphens`, the environment variable `AGYN_NAME`; `database_url` is
 * also read from `DATABASE_URL`. Precedence: flags, environment, file, defaults.
 */
export const settings = {
  data_dir: { kind: "text", default: "./.agyn", help: "where the server keeps its data" },
  blob_dir: {
    kind: "text",
    default: undefined,
    help: "where sealed logs lie, if not in data_dir/blobs; replicas of one database need a directory that all of them share",
  },
  database_url: {
    kind: "secret",
    default: undefined,
    help: "a PostgreSQL of yours; without it an embedded one is run",
  },
  master_key_file: {
    kind: "text",
    default: undefined,
    help: "the key that seals secrets in the database; needed with database_url",
  },
  listen: { kind: "address", default: "127.0.0.1:7070", help: "the user port" },
  runner_listen: { kind: "address", default: "127.0.0.1:7071", help: "the runner plane" },
  runner_address: {
    kind: "address",
    default: undefined,
    help: "where runners reach the runner plane, if not where it listens",
  },
  tls_cert: { kind: "text", default: undefined, help: "certificate chain of the user port (PEM)" },
  tls_key: { kind: "text", default: undefined, help: "its private key (PEM)" },
  insecure_listen: {
    kind: "boolean",
    default: "false",
    help: "allow a user port beyond loopback without TLS (a proxy in front does it)",
  },
  trusted_proxies: {
    kind: "text",
    default: "",
    help: "CIDRs of proxies whose X-Forwarded-For is believed, separated by commas",
  },
  open_metrics: {
    kind: "boolean",
    default: "false",
    help: "show /metrics to whoever reaches the user port, not only to this machine and to tokens of cluster admins",
  },
  trust_domain: { kind: "text", default: undefined, help: "set at the first start only; random otherwise" },
  log_level: { kind: "text", default: "info", help: "trace, debug, info, warn, error" },
  heartbeat: {
    kind: "duration",
    default: "10s",
    range: ["50ms", "1h"],
    help: "how often a runner shows that it lives",
  },
  lease: {
    kind: "duration",
    default: "30s",
    range: ["100ms", "1d"],
    help: "for how long a runner is believed without a heartbeat",
  },
  leader_lease: {
    kind: "duration",
    default: "6s",
    range: ["300ms", "1h"],
    help: "for how long a replica leads without renewing",
  },
  loop_period: {
    kind: "duration",
    default: "1s",
    range: ["10ms", "15s"],
    help: "how often loops run without a signal",
  },
  revocation_period: {
    kind: "duration",
    default: "250ms",
    range: ["10ms", "500ms"],
    help: "how often revocations are read",
  },
  certificate_ttl: {
    kind: "duration",
    default: "8h",
    range: ["1s", "365d"],
    help: "life of a runner's certificate; renewed at half of it",
  },
  expired_renewal: {
    kind: "duration",
    default: "14d",
    range: ["0s", "365d"],
    help: "for how long an expired identity may still be renewed",
  },
  pending_timeout: {
    kind: "duration",
    default: "5m",
    range: ["0s", "30d"],
    help: "how long a workload waits for a runner unless it says otherwise",
  },
  queue_timeout: {
    kind: "duration",
    default: "24h",
    range: ["1s", "30d"],
    help: "how long a queued job waits for a runner unless its pipeline says otherwise",
  },
  artifact_maximum_bytes: { kind: "integer", default: "10737418240", help: "how large one artifact may be" },
  run_artifacts_maximum_bytes: { kind: "integer", default: "53687091200", help: "how large a run's artifacts may be" },
  bundle_maximum_bytes: { kind: "integer", default: "1073741824", help: "how large a packed bundle may be" },
  artifact_retention: { kind: "duration", default: "30d", range: ["1s", "3650d"], help: "how long artifacts are kept" },
  artifact_upload_timeout: { kind: "duration", default: "1h", range: ["1s", "30d"], help: "how long uploads may rest" },
  file_sources: {
    kind: "boolean",
    default: "false",
    help: "let projects name repositories on this machine's disk (file://); whoever manages a project can then read them",
  },
  hook_body: {
    kind: "integer",
    default: "1048576",
    help: "the largest webhook that is taken, in bytes (1 kB to 25 MB)",
  },
  delivery_retention: {
    kind: "duration",
    default: "30d",
    range: ["1h", "36500d"],
    help: "for how long deliveries of triggers are kept, with what they brought",
  },
  rejection_exclusion: {
    kind: "duration",
    default: "30s",
    range: ["0s", "1d"],
    help: "how long a runner that rejected a workload is passed over for it",
  },
  metrics_interval: {
    kind: "duration",
    default: "10s",
    range: ["100ms", "1h"],
    help: "how often runners measure their machine",
  },
  workload_retention: {
    kind: "duration",
    default: "90d",
    range: ["1h", "36500d"],
    help: "for how long ended workloads and their logs are kept",
  },
  run_retention: {
    kind: "duration",
    default: "90d",
    range: ["1h", "36500d"],
    help: "for how long ended runs are kept with their jobs and logs, unless their project says otherwise",
  },
  audit_retention: {
    kind: "duration",
    default: "400d",
    range: ["1h", "36500d"],
    help: "for how long audit events are kept, and access tokens after their end",
  },
  shutdown_grace: {
    kind: "duration",
    default: "5s",
    range: ["0s", "1h"],
    help: "for how long a stopping server lets calls finish",
  },
  database_connections: { kind: "integer", default: "16", help: "size of the connection pool" },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settings;
type DurationName = {
  [Name in SettingName]: (typeof settings)[Name]["kind"] extends "duration" ? Name : never;
}[SettingName];

/** The whole configuration; durations in ms. */
export type Config = ArtifactLimits & {
  dataDir: string;
  blobDir: string;
  databaseUrl: string | undefined;
  masterKeyFile: string;
  listen: Address;
  runnerListen: Address;
  runnerAddress: Address | undefined;
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
  queueTimeout_ms: number;
  fileSources: boolean;
  hookBody_bytes: number;
  deliveryRetention_ms: number;
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
  for (const name of Object.keys(fromFile))
    if (!(name in settings)) throw unknown(`${file}: unknown key "${name}"`, name, Object.keys(settings));
  for (const name of Object.keys(flags))
    if (!(name in settings)) throw unknown(`unknown flag --${name.replaceAll("_", "-")}`, name, Object.keys(settings));
  const entries = (Object.keys(settings) as SettingName[]).map((name) => {
    const variable = `AGYN_${name.toUpperCase()}`;
    const fromEnvironment =
      environment[variable] ?? (name === "database_url" ? environment["DATABASE_URL"] : undefined);
    if (flags[name] !== undefined) return [name, { value: flags[name], source: "flag" }];
    if (fromEnvironment !== undefined) return [name, { value: fromEnvironment, source: "environment" }];
    if (fromFile[name] !== undefined) return [name, { value: fromFile[name], source: "file" }];
    return [name, { value: settings[name].default, source: "default" }];
  });
  return Object.fromEntries(entries) as Settled;
}

/** The record that the server runs with. */
export function toConfig(settled: Settled): Config {
  const text = (name: SettingName) => settled[name].value;
  const duration = (name: DurationName) => parseDuration(name, text(name) ?? "", settings[name].range);
  const bytes = (name: SettingName) => parseInteger(name, text(name) ?? "", 1, 2 ** 50);
  const address = (name: SettingName) => parseAddress(name, text(name) ?? "");
  const dataDir = resolve(text("data_dir")!);
  const [cert, key] = [text("tls_cert"), text("tls_key")];
  if ((cert === undefined) !== (key === undefined)) throw new ConfigError("tls_cert and tls_key go together");
  const config: Config = {
    dataDir,
    blobDir: resolve(text("blob_dir") ?? join(dataDir, "blobs")),
    databaseUrl: text("database_url"),
    masterKeyFile: text("master_key_file") ?? join(dataDir, "master.key"),
    listen: address("listen"),
    runnerListen: address("runner_listen"),
    runnerAddress: text("runner_address") === undefined ? undefined : address("runner_address"),
    tls: cert === undefined || key === undefined ? undefined : { cert, key },
    trustedProxies: (text("trusted_proxies") ?? "").split(",").filter((one) => one.trim() !== ""),
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
    queueTimeout_ms: duration("queue_timeout"),
    artifactMaximum_bytes: bytes("artifact_maximum_bytes"),
    runArtifactsMaximum_bytes: bytes("run_artifacts_maximum_bytes"),
    bundleMaximum_bytes: bytes("bundle_maximum_bytes"),
    artifactRetention_ms: duration("artifact_retention"),
    artifactUploadTimeout_ms: duration("artifact_upload_timeout"),
    fileSources: parseBoolean("file_sources", text("file_sources")!),
    hookBody_bytes: parseInteger("hook_body", text("hook_body")!, 1000, 25_000_000),
    deliveryRetention_ms: duration("delivery_retention"),
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
  if (config.runnerAddress === undefined && isWildcard(config.runnerListen.host)) {
    throw new ConfigError(
      `runner_address: needed with runner_listen ${config.runnerListen.host}, because runners must be told where to dial: give the name or address of this machine that they reach, such as agyn.example.org:${config.runnerListen.port}`,
    );
  }
  if (config.databaseUrl !== undefined && settled.master_key_file.value === undefined) {
    throw new ConfigError("master_key_file: needed with database_url, so that every replica seals with the same key");
  }
}

/** Whether only this machine reaches the host. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Whether the host stands for every address of this machine. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || (isIP(host) === 6 && /^[0:]+$/.test(host));
}
