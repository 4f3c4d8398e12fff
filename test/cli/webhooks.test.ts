import { afterAll, beforeAll, expect, test } from "vitest";
import { openReceiver } from "../support/receiver.ts";
import { createWorld, until, type World } from "../support/world.ts";
import { run, type Ran } from "./support/terminal.ts";

let world: World;

beforeAll(async () => {
  world = await createWorld({ outgoing_private: "true", webhook_retry: "20ms" });
});
afterAll(() => world[Symbol.asyncDispose]());

function agynctl(line: string): Promise<Ran> {
  const environment = { AGYN_GATEWAY: world.server.gateway, AGYN_TOKEN: world.adminToken };
  return run(line.split(" "), { cwd: world.directory, environment });
}

test("a webhook is made, tested, looked into, sent to again and deleted", async () => {
  await using receiver = await openReceiver();
  const created = await agynctl(`webhooks create chat ${receiver.url} --event run.*`);
  expect(created.stdout).toMatch(/^created webhook chat \(whk_\w+\)\nsecret, shown this once: whsec_/);

  const tested = await agynctl("webhooks test chat");
  expect(tested).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("the receiver answered 204") as string });
  const id = /whd_\w+/.exec(tested.stdout)![0];
  expect((await agynctl("webhooks deliveries chat")).stdout).toMatch(
    new RegExp(`${id} +webhook.test +delivered +1 +204`),
  );
  expect((await agynctl(`webhooks deliveries chat ${id}`)).stdout).toContain('"type":"webhook.test"');

  expect((await agynctl(`webhooks redeliver chat ${id}`)).stdout).toContain(`repeats ${id}`);
  await until("it came again", () => receiver.received.length === 2);
  expect((await agynctl("webhooks delete chat --yes")).exitCode).toBe(0);
  expect((await agynctl("webhooks list -o name")).stdout).toBe("");
});

test("a test that the receiver refuses exits with 1 and says why; one that is off says what to do", async () => {
  await using receiver = await openReceiver(() => ({ status: 500 }));
  await agynctl(`webhooks create bad ${receiver.url}`);

  const tested = await agynctl("webhooks test bad");
  expect(tested).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("the receiver answered 500") as string });
  expect((await agynctl("webhooks get bad")).stdout).toMatch(/state: +failing/);

  expect((await agynctl("webhooks disable bad")).stdout).toContain("webhook bad is off");
  expect((await agynctl("webhooks test bad")).stderr).toContain("switch it on first");
});

test.each([
  ["webhooks create x ftp://example.org", "begins with https:// or http://"],
  ["webhooks create x https://example.org --event run.started", "no event fits"],
  ["webhooks create x https://mia:word@example.org", "no user and no password"],
  ["webhooks update bad", "nothing is to change"],
])("%s is refused with what is wrong", async (line, words) => {
  const ran = await agynctl(line);
  expect(ran.exitCode).toBe(2);
  expect(ran.stderr).toContain(words);
});
