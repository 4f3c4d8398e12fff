import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readArguments } from "../../server/src/arguments.ts";
import { ConfigError, settle, toConfig } from "../../server/src/config.ts";

async function fileOf(text: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-config-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, "agyn.toml");
  await writeFile(file, text);
  return file;
}

const configOf = (flags: Record<string, string>, environment: NodeJS.ProcessEnv = {}) =>
  toConfig(settle(flags, environment, undefined));

test("a flag outweighs the environment, the environment the file, the file the default", async () => {
  const file = await fileOf('heartbeat = "3s"\nlease = "33s"\nlog_level = "warn"\n');

  const settled = settle({ heartbeat: "1s" }, { AGYN_HEARTBEAT: "2s", AGYN_LEASE: "22s" }, file);

  expect(settled.heartbeat).toEqual({ value: "1s", source: "flag" });
  expect(settled.lease).toEqual({ value: "22s", source: "environment" });
  expect(settled.log_level).toEqual({ value: "warn", source: "file" });
  expect(settled.loop_period.source).toBe("default");
});

test("an unknown key of the file is named, with the nearest valid one", async () => {
  const file = await fileOf('heart_beat = "3s"\n');

  expect(() => settle({}, {}, file)).toThrow(`${file}: unknown key "heart_beat": did you mean "heartbeat"?`);
});

test.each([
  [["--file-sources"], { file_sources: "true" }],
  [["--file-sources", "--listen", "h:1"], { file_sources: "true", listen: "h:1" }],
  [["--file-sources", "false"], { file_sources: "false" }],
  [["--file-sources", "true", "config"], { file_sources: "true" }],
  [["--file-sources=false", "config"], { file_sources: "false" }],
])("a switch is on by its name, or what is said of it: %j", (argv, flags) => {
  expect(readArguments(argv, ["serve", "config"])).toMatchObject({ flags });
});

test("an unknown flag is named, with the nearest valid one", () => {
  expect(() => settle({ lisen: "x" }, {}, undefined)).toThrow('unknown flag --lisen: did you mean "--listen"?');
});

test.each([
  [{ workload_retention: "59m" }, 'workload_retention: "59m" is not from 1h to 36500d'],
  [{ loop_period: "25d" }, 'loop_period: "25d" is not from 10ms to 15s'],
  [{ heartbeat: "0s" }, 'heartbeat: "0s" is not from 50ms to 1h'],
  [{ revocation_period: "1s" }, 'revocation_period: "1s" is not from 10ms to 500ms'],
  [{ heartbeat: "10" }, 'heartbeat: "10" is not a duration'],
  [{ listen: "7070" }, 'listen: "7070" is not an address'],
  [{ listen: "127.0.0.1:70700" }, 'listen: "127.0.0.1:70700" is not an address'],
  [{ database_connections: "many" }, 'database_connections: "many" is not a whole number'],
  [{ lease: "15s" }, "lease: must be at least two heartbeats"],
  [{ tls_cert: "a.pem" }, "tls_cert and tls_key go together"],
  [{ log_level: "loud" }, 'log_level: "loud" is not one of'],
])("%j is refused, and the setting and its rule are named", (flags, message) => {
  expect(() => configOf(flags as Record<string, string>)).toThrow(message);
});

test("a user port beyond loopback without TLS is refused unless told", () => {
  expect(() => configOf({ listen: "0.0.0.0:7070" })).toThrow(ConfigError);
  expect(configOf({ listen: "0.0.0.0:7070", insecure_listen: "true" }).listen.host).toBe("0.0.0.0");
  expect(configOf({ listen: "[::1]:7070" }).listen).toEqual({ host: "::1", port: 7070 });
});

test("with a database of one's own, the master key's file must be named", () => {
  const database_url = "postgres://somewhere/agyn";

  expect(() => configOf({ database_url })).toThrow("master_key_file: needed with database_url");
  expect(configOf({ master_key_file: "/k" }, { DATABASE_URL: database_url }).databaseUrl).toBe(database_url);
});

test.each([
  ['[server]\nlisten = "127.0.0.1:7070"\n', ': unknown key "server": did you mean'],
  ['__proto__ = "x"\n', ': unknown key "__proto__": did you mean'],
  ['lease = "30s"\nheartbeat = "1s\n', ", line 2: Invalid TOML document"],
  ['lease = "30s"\n\nlease = "60s"\n', ", line 3: Invalid TOML document"],
])("a file that says %j is refused by its line or its key", async (text, words) => {
  const file = await fileOf(text);

  expect(() => settle({}, {}, file)).toThrow(`${file}${words}`);
});

test("an empty variable of the environment sets nothing, and an empty setting is refused", () => {
  const environment = { AGYN_DATA_DIR: "", AGYN_INSECURE_LISTEN: "", DATABASE_URL: "", AGYN_LISTEN: "" };

  const config = configOf({}, environment);

  expect(config).toEqual(configOf({}));
  expect(() => configOf({ data_dir: "" })).toThrow("data_dir: must not be empty");
});

test("trusted proxies may stand apart, and what is no network is refused", () => {
  const trusted = configOf({ trusted_proxies: "10.0.0.0/8, 192.0.2.7 ,2001:db8::/32" }).trustedProxies;

  expect(trusted).toEqual(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
  expect(() => configOf({ trusted_proxies: "10.0.0.1,proxy" })).toThrow(
    'trusted_proxies: "proxy" is not an address or a network such as 10.0.0.0/8',
  );
});

test("an unknown flag is named as that, also where no value follows it", () => {
  expect(() => readArguments(["--lisen"], ["serve"])).toThrow('unknown flag --lisen: did you mean "--listen"?');
});
