import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { longFlag, type Option } from "../../cli/src/command-shape.ts";
import { commands } from "../../cli/src/commands.ts";
import { globalOptions } from "../../cli/src/global-options.ts";
import { groupSummaries } from "../../cli/src/help.ts";
import { triggerConfigOptions } from "../../cli/src/trigger-config.ts";
import { run } from "./support/terminal.ts";

const directory = join(import.meta.dirname, "../../cli/src/commands");
const listed = commands.map((command) => [command.path.join("-"), command] as const);

test("each file of commands/ is a command of the program, and the other way round", () => {
  const files = readdirSync(directory).map((file) => file.replace(/\.ts$/, ""));
  expect(listed.map(([name]) => name).toSorted()).toEqual(files.toSorted());
});

test.each(listed)("%s uses each of its options and arguments", (name, command) => {
  const source = readFileSync(join(directory, `${name}.ts`), "utf8");
  const body = source.slice(source.indexOf("async run("));
  for (const key of [...Object.keys(command.options), ...Object.keys(command.arguments)]) {
    const isSpread = body.includes("...demand }") || body.includes("toDemand(options)");
    const isDemand = ["require", "prefer", "capability", "executor", "slots", "resource"].includes(key) && isSpread;
    const isOfConfig = key in triggerConfigOptions && /TriggerConfig\(.*options\)/.test(body);
    expect(isDemand || isOfConfig || new RegExp(`\\b${key}\\b`).test(body), `${name} uses ${key}`).toBe(true);
  }
});

test.each(listed)("%s and its options say what they are for", (_name, command) => {
  expect(command.summary).toMatch(/^[A-Z].*[^.]$/);
  expect(command.summary.length).toBeLessThan(110);
  for (const [key, option] of Object.entries(command.options)) {
    expect(option.help, key).toMatch(/^[a-z].*[^.]$/);
  }
  for (const argument of Object.values(command.arguments)) expect(argument.help).not.toBe("");
  if (command.path.length > 1) expect(groupSummaries[command.path[0]!]).toBeDefined();
});

test.each(listed)("the options of %s do not shadow those of every command", (_name, command) => {
  const global = Object.values<Option>(globalOptions).map(({ short }) => short);
  const shorts = Object.values(command.options).flatMap(({ short }) => (short === undefined ? [] : [short]));
  expect(new Set(shorts).size).toBe(shorts.length);
  expect(shorts.filter((short) => global.includes(short) || short === "h")).toEqual([]);
  expect(Object.keys(command.options).filter((key) => key in globalOptions)).toEqual([]);
});

test.each(listed)("%s shows help with its options and examples", async (_name, command) => {
  const { exitCode, stdout, stderr } = await run([...command.path, "--help"], { columns: 100 });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  for (const key of Object.keys({ ...command.options, ...globalOptions })) expect(stdout).toContain(longFlag(key));
  expect(command.examples.length).toBeGreaterThan(0);
  for (const example of command.examples) expect(stdout).toContain(example);
});

/** The words of an example, up to where it sends its output somewhere. */
function toWords(example: string): string[] {
  const words = [...example.split(" > ")[0]!.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!);
  return words.slice(words.indexOf("agynctl") + 1);
}

// With this gateway a command gets as far as the network, which it refuses to touch with a token in the clear.
const refused = { AGYN_GATEWAY: "http://control.example", AGYN_TOKEN: "agyn_pat_x" };

test.each(listed)("the examples of %s are lines the program takes", async (name, command) => {
  for (const example of command.examples) {
    expect(example).toContain(command.path.join(" "));
    const isOffline = ["completion", "help", "pipelines-validate"].includes(name);
    const isOwn = isOffline || /--client|--script|--from-file|agynctl run \.\//.test(example);
    if (isOwn) continue;
    const { exitCode, stderr } = await run(toWords(example), { environment: refused });
    expect({ example, exitCode, stderr }).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining("without TLS"),
    });
  }
});

test.each([
  [["runnrs", "list"], "error: unknown command 'runnrs' (did you mean agynctl runners? agynctl --help shows how)\n"],
  [
    ["runners", "lst"],
    "error: unknown command 'lst' (did you mean agynctl runners list? agynctl runners --help shows how)\n",
  ],
  [
    ["logs", "x"],
    "error: unknown command 'logs' (did you mean agynctl runs logs or agynctl workloads logs? agynctl --help shows how)\n",
  ],
  [["queue", "moev"], "error: unknown command 'moev' (agynctl queue --help shows how)\n"],
  [["nonsense"], "error: unknown command 'nonsense' (agynctl --help shows how)\n"],
  [
    ["runners", "list", "--clusterr"],
    "error: unknown option '--clusterr' (did you mean --cluster? agynctl runners list --help shows how)\n",
  ],
  [["runners", "get"], "error: missing required argument 'runner' (agynctl runners get --help shows how)\n"],
  [["a\nb\u001b[2J"], "error: unknown command 'a b' (agynctl --help shows how)\n"],
] as const)(
  "a line that the program does not take, %j, is told in one line with what to do",
  async (argv, expected) => {
    const { exitCode, stdout, stderr } = await run(argv);
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 2, stdout: "", stderr: expected });
  },
);

test("help is there by word and by flag, at each level, and says the same", async () => {
  for (const words of [[], ["runners"], ["runners", "list"], ["explain"]]) {
    const asked = await run(["help", ...words]);
    expect(asked).toMatchObject({ exitCode: 0, stderr: "", stdout: expect.stringContaining("Usage: agynctl") });
    for (const flag of ["-h", "--help"]) expect(await run([...words, flag])).toEqual(asked);
  }
});

test("help for what is no command suggests the nearest, and runs nothing", async () => {
  expect(await run(["help", "runnrs"])).toMatchObject({
    exitCode: 2,
    stderr: "error: unknown command 'runnrs' (did you mean agynctl runners? agynctl --help shows how)\n",
  });
  expect(await run(["help", "runners", "lst"])).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("did you mean agynctl runners list?"),
  });
  const leaf = await run(["help", "workloads", "start", "true"]);
  expect(leaf).toEqual(await run(["workloads", "start", "--help"]));
});

test("a group without a command shows its help and fails", async () => {
  for (const words of [[], ["runners"]]) {
    const { exitCode, stdout, stderr } = await run(words);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain("Commands:");
  }
});

test("--version tells agynctl's own version, without a control plane", async () => {
  const told = await run(["--version"]);
  expect(told).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^agynctl \d+\.\d+\.\d+\n$/) });
  expect(told.stdout).toBe((await run(["version", "--client"])).stdout);
});

test("what filters by an id takes no name, which would fit nothing", async () => {
  const { exitCode, stderr } = await run(["audit", "list", "--object", "build-1"]);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("give the whole id") });
});

test("options of every command are taken before and after the words, and those of a job are left to it", async () => {
  const before = await run(["-o", "nonsense", "runners", "list"]);
  expect(before).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("Allowed choices are table, wide") });
  const job = await run([
    "--gateway",
    "http://127.0.0.1:1",
    "workloads",
    "start",
    "--follow",
    "make",
    "-o",
    "nonsense",
  ]);
  expect(job).toMatchObject({ exitCode: 5 });
});

test("no command takes a token as an argument", () => {
  for (const [name, { options }] of listed) {
    const flags = Object.keys(options).filter((key) => /token|password|secret/i.test(key) && !/file$/i.test(key));
    expect(
      flags.filter((key) => !["tokenUses", "tokenLifetime", "tokenSource", "secretEnv"].includes(key)),
      name,
    ).toEqual([]);
  }
});
