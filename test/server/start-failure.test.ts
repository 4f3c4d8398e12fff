import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConfigError, settle, toConfig } from "../../server/src/config.ts";
import { openMasterKey } from "../../server/src/identity/master-key.ts";
import { openServer } from "../../server/src/server.ts";
import { explainStartFailure } from "../../server/src/start-failure.ts";

let directory: string;

beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), "agyn-start-"))));
afterEach(async () => await rm(directory, { recursive: true, force: true }));

/** What the operator is told of a start that fails. */
async function refusalOf(flags: Record<string, string>): Promise<unknown> {
  const ports = { listen: "127.0.0.1:0", runner_listen: "127.0.0.1:0" };
  const config = toConfig(settle({ ...ports, data_dir: directory, ...flags }, {}, undefined));
  const error: unknown = await openServer(config, pino({ enabled: false })).catch((failure: unknown) => failure);
  return explainStartFailure(error, config);
}

test.each([
  ["nonsense", "database_url: not a URL such as"],
  ["mysql://ann:hunter2@127.0.0.1/agyn", "database_url: not a URL such as"],
  ["postgres://ann:hunter2 @127.0.0.1:bad/agyn", "database_url: not a URL such as"],
  ["postgres://ann:hunter2@127.0.0.1:1/agyn", "the database cannot be used: connect ECONNREFUSED 127.0.0.1:1"],
  ["postgres://ann:hunter2@agyn.invalid/agyn", "the database cannot be used: getaddrinfo"],
])("a start without its database %s says so in one line, and shows no password", async (url, line) => {
  await openMasterKey({ file: join(directory, "master.key"), create: true });

  const refusal = await refusalOf({ database_url: url, master_key_file: join(directory, "master.key") });

  expect(refusal).toBeInstanceOf(ConfigError);
  const { message } = refusal as Error;
  expect(message).toContain(line);
  expect(message).not.toMatch(/hunter2|\n/);
});

test("a start with a damaged master key, or none where it should be, names its file", async () => {
  const file = join(directory, "master.key");
  await writeFile(file, "garbage\n", { mode: 0o600 });

  expect(await refusalOf({})).toEqual(
    new ConfigError(`master key ${file} is damaged: put back the copy that was kept of it`),
  );
  expect(await refusalOf({ master_key_file: directory })).toEqual(
    new ConfigError(`master key ${directory} is not a file: name another with --master-key-file`),
  );
  expect(await refusalOf({ master_key_file: "/nope/key" })).toEqual(
    new ConfigError("master key /nope/key cannot be made (ENOENT)"),
  );
});
