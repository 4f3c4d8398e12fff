import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

import { executionFiles } from "../../runner/src/executors/record.ts";
import { host, killed, spooled } from "./support/hosted.ts";
import { type World, hostSecret, openWorld, until } from "./support/world.ts";

const secret = { name: "TOKEN", value: "s3cret-value", secret: true };

function filesOfTheOne(world: World) {
  const [name = ""] = readdirSync(world.options.directory);
  return executionFiles(join(world.options.directory, name));
}

test("bad-38: a secret is masked in both outputs, also when it is written in two parts", async () => {
  await using world = await openWorld();
  const script = `echo "token: $TOKEN"; echo "$TOKEN" >&2; printf s3cret; sleep 0.7; printf -- '-value, '; printf "s3cret-val"`;
  const { execution, log } = await world.start(["sh", "-c", script], { env: [secret] });
  expect(await execution.result).toMatchObject({ exitCode: 0 });
  expect(log.stdout()).toBe("token: ***\n***, s3cret-val");
  expect(log.stderr()).toBe("***\n");
});

test("bad-38: a secret that is too short to be masked is named once, without its value", async () => {
  await using world = await openWorld();
  const short = { name: "PIN", value: "9731", secret: true };
  const { execution, log } = await world.start(["sh", "-c", 'echo "$PIN $PIN"'], { env: [short, secret] });
  await execution.result;
  expect(log.stdout()).toBe("9731 9731\n");
  expect(log.system()).toBe("not masked in the output, because shorter than 6 bytes or a common word: PIN\n");
});

test("bad-38: a secret is masked in what the runner itself says of a job, and in its result", async () => {
  await using world = await openWorld();
  const source = { kind: "git", url: "https://127.0.0.1:1/x.git", ref: secret.value } as const;
  const fetching = await world.start(["true"], { env: [secret], source });
  await fetching.execution.result;
  expect(fetching.log.system()).toContain("fetching https://127.0.0.1:1/x.git at ***\n");
  const missing = await world.start([`no-such-${secret.value}`], { env: [secret] });
  expect(await missing.execution.result).toMatchObject({ message: "command not found: no-such-***" });
  expect(missing.execution.hideSecrets?.(`${secret.value}.txt is a link`)).toBe("***.txt is a link");
});

test("bad-37: what looks like a command to the runner is output like any other", async () => {
  await using world = await openWorld();
  const forged = "::add-mask::x\n::stop-commands::t\n::set-env name=PATH::/tmp\n##[group]a\n***\nagynmrk1\n";
  const script = `printf '${forged.replaceAll("\n", "\\n")}'; echo "$TOKEN"`;
  const { execution, log } = await world.start(["sh", "-c", script], { env: [secret] });
  expect(await execution.result).toMatchObject({ exitCode: 0 });
  expect(log.stdout()).toBe(`${forged}***\n`);
});

test("bad-38: a secret is masked where it lies across two segments of the output", async () => {
  await using world = await openWorld();
  const lines = 3_000_000;
  const script = `yes "$TOKEN" | head -n ${lines}`;
  const { execution, log } = await world.start(["sh", "-c", script], { env: [secret] });
  expect(await execution.result).toMatchObject({ exitCode: 0 });
  expect(log.stdout() === "***\n".repeat(lines)).toBe(true);
}, 60_000);

test("bad-38: a runner that adopts a job goes on masking, and the secret is nowhere on disk in clear", async () => {
  await using world = await openWorld();
  const script = `printf 'up\\n%.10s' "$TOKEN"; sleep 1; printf '%s\\n' "\${TOKEN#s3cret-of-}"; echo "$TOKEN"; seq 5000`;
  const child = host(world, 3, ["sh", "-c", script]);
  await once(child, "exit");
  const { directory, secrets, record } = filesOfTheOne(world);
  for (const file of [secrets, record]) expect(readFileSync(file).includes(hostSecret.value)).toBe(false);
  expect(readdirSync(directory)).not.toContain("launch");

  const [adopted] = await world.restart();
  expect(await adopted?.execution.result).toMatchObject({ exitCode: 0 });
  const output = spooled(world) + adopted!.log.stdout();
  expect(output.split("\n").slice(0, 4)).toEqual(["up", "***", "***", "1"]);
  expect(output.split("\n").length).toBe(5004);
}, 20_000);

test("a runner that cannot tell a job's secrets any more leaves its output out", async () => {
  await using world = await openWorld();
  const child = host(world, Infinity, ["sh", "-c", `echo up; sleep 1; echo "$TOKEN"; exit 3`]);
  await until("the job is up", () => spooled(world) === "up\n");
  await killed(child);
  rmSync(filesOfTheOne(world).secrets);
  const [adopted] = await world.restart();
  expect(await adopted?.execution.result).toMatchObject({ exitCode: 3 });
  expect(adopted!.log.stdout()).toBe("");
  expect(adopted!.log.system()).toContain("left out");
  expect(adopted!.execution.hideSecrets?.("a.txt is a link")).toBe("***");
}, 20_000);

test("bad-38: a runner that starts again after a job has ended hides its secrets still, in what it quotes and hands on", async () => {
  await using world = await openWorld();
  const script = `printf 'fine=1\ntoken=%s\n' "$TOKEN" >"$AGYN_OUTPUT"`;
  const child = host(world, Infinity, ["sh", "-c", script]);
  await until("the job has ended", () => existsSync(filesOfTheOne(world).drained));
  await killed(child);
  const [adopted] = await world.restart();
  expect(await adopted?.execution.result).toMatchObject({ outputs: { fine: "1" } });
  expect(adopted!.execution.hideSecrets?.(`${hostSecret.value}.txt is a link`)).toBe("***.txt is a link");
}, 20_000);
