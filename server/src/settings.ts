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
    help: "where artifacts and sealed logs lie, if not in data_dir/blobs; replicas of one database need a directory that all of them share, or s3_bucket",
  },
  s3_bucket: {
    kind: "text",
    default: undefined,
    help: "a bucket of S3 for artifacts and sealed logs, instead of blob_dir",
  },
  s3_prefix: { kind: "text", default: "", help: "what the keys in the bucket begin with, such as agyn/" },
  s3_endpoint: { kind: "text", default: undefined, help: "URL of the S3 server, if it is not AWS" },
  s3_region: { kind: "text", default: "us-east-1", help: "region of the bucket" },
  s3_path_style: {
    kind: "boolean",
    default: "false",
    help: "name the bucket in the path of URLs, not in the host, as most servers other than AWS need it",
  },
  s3_public_endpoint: {
    kind: "text",
    default: undefined,
    help: "URL under which people reach the S3 server: downloads over HTTP are then sent there by links that end soon",
  },
  s3_link_ttl: {
    kind: "duration",
    default: "1m",
    range: ["1s", "1h"],
    help: "for how long such a link can be followed",
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
  tunnel_address: {
    kind: "address",
    default: undefined,
    help: "where runners reach this very replica, if runner_address leads to any of several: for tunnels into workloads",
  },
  tunnel_idle: {
    kind: "duration",
    default: "1h",
    range: ["100ms", "30d"],
    help: "how long nothing may move through a tunnel into a workload before it is closed",
  },
  overlay: {
    kind: "text",
    default: "mtls",
    help: "how runners reach the runner plane: mtls (a TCP port), openziti (no port at all), sidecar (tunnelers), or several, such as mtls,openziti",
  },
  sidecar_listen: {
    kind: "text",
    default: undefined,
    help: "where a tunneler beside this server hands connections on: host:port or unix:/path",
  },
  sidecar_address: {
    kind: "text",
    default: undefined,
    help: "where the tunneler beside each runner takes connections, as runners are told: host:port or unix:/path",
  },
  ziti_controller: {
    kind: "text",
    default: undefined,
    help: "URL of the OpenZiti controller, or of each, separated by commas; without it those that ziti_admin_identity names",
  },
  ziti_ca_file: {
    kind: "text",
    default: undefined,
    help: "the authorities of the OpenZiti network (PEM), where ziti_admin_identity does not bring them",
  },
  ziti_admin_identity: {
    kind: "text",
    default: undefined,
    help: "identity file (JSON) of an administrator of the OpenZiti network",
  },
  ziti_admin_username: {
    kind: "text",
    default: undefined,
    help: "name of an administrator, instead of ziti_admin_identity",
  },
  ziti_admin_password_file: { kind: "text", default: undefined, help: "a file with that administrator's password" },
  ziti_identity_enrollment: {
    kind: "text",
    default: "ca",
    help: "how runners and control plane log in to the OpenZiti network: by certificates of our own authorities, which are registered there (ca), or by its own, through one-time enrollment (ott)",
  },
  ziti_router_roles: {
    kind: "text",
    default: "#all",
    help: "edge routers that runners and control plane may use, as roles separated by commas, such as #public",
  },
  ziti_service_prefix: {
    kind: "text",
    default: "",
    help: "what the names of services in the OpenZiti network begin with, so that several installations can share one, such as staging-",
  },
  ziti_repair_period: {
    kind: "duration",
    default: "1m",
    range: ["100ms", "1d"],
    help: "how often what is kept in the OpenZiti network is compared with what should be",
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
  pending_maximum_workloads: {
    kind: "integer",
    default: "20000",
    help: "how many workloads of one organization may wait for a runner; the start of one more is refused",
  },
  pending_maximum_bytes: {
    kind: "integer",
    default: "268435456",
    help: "how many bytes the specs and demands of these may take together",
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
  outgoing_private: {
    kind: "boolean",
    default: "false",
    help: "let reports and webhooks go to addresses of this machine and of private networks, and webhooks by http://",
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
    help: "for how long deliveries of triggers and of webhooks are kept, with what they carried",
  },
  webhook_retry: {
    kind: "duration",
    default: "5s",
    range: ["10ms", "1h"],
    help: "between the first two tries of a webhook's delivery; each further wait is four times as long, at most 6h",
  },
  webhook_disable_after: {
    kind: "duration",
    default: "3d",
    range: ["1s", "365d"],
    help: "a webhook that takes nothing for so long is switched off",
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

/** A key of `agyn.toml`. */
export type SettingName = keyof typeof settings;
/** A key whose value is a duration. */
export type DurationName = {
  [Name in SettingName]: (typeof settings)[Name]["kind"] extends "duration" ? Name : never;
}[SettingName];
