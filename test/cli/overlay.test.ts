import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { createNetworkWorld, identityIn, untilRepaired, type NetworkWorld } from "../support/network-world.ts";
import { enrollClient } from "../support/runner-client.ts";
import { until, type RegisteredRunner } from "../support/world.ts";
import { run, type Ran } from "./support/terminal.ts";

let network: NetworkWorld;
let runner: RegisteredRunner;

beforeAll(async () => {
  network = await createNetworkWorld({ ziti_repair_period: "1h" });
  const { world } = network;
  runner = await world.register("build-1");
  await world.register("never-enrolled");
  await enrollClient(world.server.gateway, runner.token);
  await untilRepaired(network);
});
afterAll(() => network[Symbol.asyncDispose]());

function agynctl(line: string): Promise<Ran> {
  const { server, adminToken } = network.world;
  return run(line.split(" "), { environment: { AGYN_GATEWAY: server.gateway, AGYN_TOKEN: adminToken } });
}

/** The status, once it says this. */
function statusWith(text: string, prepare = (): unknown => undefined): Promise<Ran> {
  return until(`the status says ${text}`, async () => {
    prepare();
    const ran = await agynctl("overlay status");
    return ran.stdout.includes(text) && ran;
  });
}

/** The checks of a doctor, each with its verdict. */
async function verdicts(name: string): Promise<Record<string, boolean>> {
  const { stdout } = await agynctl(`overlay doctor ${name} -o json`);
  const checks = JSON.parse(stdout) as { name: string; passed?: boolean }[];
  return Object.fromEntries(checks.map((check) => [check.name, check.passed === true]));
}

test("the status tells the network, its routers, who hosts, and that nothing differs", async () => {
  const { exitCode, stdout } = await statusWith("of which 0 differ");
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^overlays: +openziti$/m);
  expect(stdout).toMatch(new RegExp(`^controller: +${network.fabric.url}$`, "m"));
  expect(stdout).toMatch(/^routers: +router-1 online$/m);
  expect(stdout).toMatch(/^hosts of the runner plane: +1$/m);
  expect(stdout).toMatch(/^kept there: +\d+, of which 0 differ$/m);
});

test("the status names each record that differs, and in what", async () => {
  const { services } = network.fabric.model;
  const service = services.find(({ name }) => name === `runner-${runner.id}`) ?? expect.fail("it has no service");
  onTestFinished(() => services.update(service, { encryptionRequired: true }));
  // It may be mended meanwhile, as soon as something of a runner has changed.
  const change = () => services.update(service, { encryptionRequired: false });
  const { stdout } = await statusWith("of which 1 differ", change);
  expect(stdout).toMatch(new RegExp(`^differs: +services runner-${runner.id}: changed \\(encryptionRequired\\)$`, "m"));
});

test("the status tells that a controller is away instead of failing", async () => {
  network.fabric.controller.away();
  onTestFinished(() => network.fabric.controller.back());
  const { exitCode, stdout } = await agynctl("overlay status");
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^error: +.*(broke|reached)/m);
});

test("the doctor goes through what a dial needs, and finds what a runner lacks", async () => {
  const { exitCode, stdout } = await agynctl("overlay doctor build-1");
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^CHECK +RESULT +FOUND\nrunner +passed +neither locked nor revoked$/m);
  expect(Object.values(await verdicts("build-1"))).not.toContain(false);
  expect(await verdicts("never-enrolled")).toMatchObject({ certificate: false, identity: true });
  expect(await agynctl("overlay doctor never-enrolled")).toMatchObject({ exitCode: 1 });
  const { identities } = network.fabric.model;
  const identity = identityIn(network, runner) ?? expect.fail("it is not known there");
  const found = await until("it finds what was changed", async () => {
    identities.update(identity, { roleAttributes: [] });
    const all = await verdicts("build-1");
    return all["identity"] === false && all["dial policy"] === false && all;
  });
  expect(found).toMatchObject({ authority: true, hosts: true });
});

test.each([
  ["overlay doctor --runner nobody", 3, "nobody"],
  ["overlay doctor", 2, "no runner is named"],
  ["overlay doctor build-1 --runner build-2", 2, "two runners are named"],
])("the runner may be named by an option: %s", async (words, code, told) => {
  expect(await agynctl(words)).toMatchObject({
    exitCode: code,
    stderr: expect.stringContaining(told),
  });
});

test("the doctor refuses a runner that is not there, by name", async () => {
  const { exitCode, stderr } = await agynctl("overlay doctor nobody");
  expect(exitCode).not.toBe(0);
  expect(stderr).toContain("nobody");
});
