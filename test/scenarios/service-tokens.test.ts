import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { enrollClient, outcomeOf, outcomesOf, prepareEnrollment } from "../support/runner-client.ts";
import { clientsFor, createWorld, until, untilConnected } from "../support/world.ts";

test("bad-02: a token that is rotated between check and issue issues nothing", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const request = await prepareEnrollment(world.server.gateway, runner.token);

  await world.admin.runners.rotateServiceToken({ runner: runner.id });
  const enrolling = world.admin.runners.enroll(request);

  expect(await outcomeOf(enrolling)).toBe("SERVICE_TOKEN_INVALID");
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual(["SERVICE_TOKEN_INVALID"]);
});

test("bad-02: rotating and enrolling at once leave either a used old token or a refused one", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const requests = await Promise.all(
    Array.from({ length: 5 }, () => prepareEnrollment(world.server.gateway, runner.token)),
  );

  const rotated = world.admin.runners.rotateServiceToken({ runner: runner.id });
  const outcomes = await Promise.all(requests.map((request) => outcomeOf(world.admin.runners.enroll(request))));
  const { runner: after } = await rotated;

  const [row] = await world.database.sql`select count(*)::int as count from identity where runner_id = ${runner.id}`;
  expect(row?.["count"]).toBe(outcomes.filter((outcome) => outcome === "ok").length);
  expect(outcomes.filter((outcome) => !["ok", "SERVICE_TOKEN_INVALID"].includes(outcome))).toEqual([]);
  expect(after!.serviceToken?.uses).toBe(0);
});

test("bad-02: a deleted runner's token issues nothing", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const request = await prepareEnrollment(world.server.gateway, runner.token);

  await world.admin.runners.deleteRunner({ runner: runner.id });

  expect(await outcomeOf(world.admin.runners.enroll(request))).toBe("SERVICE_TOKEN_INVALID");
});

test.for([
  ["a trailing newline", (token: string) => `${token}\n`, undefined],
  ["a wrong case", (token: string) => token.toUpperCase(), "upper-case letters"],
  ["one MB", (token: string) => token.repeat(1 + 1_000_000 / token.length), "longer than"],
  ["two MB", (token: string) => token.repeat(2_100_000 / token.length), "larger than 1048576 bytes"],
  ["nothing", () => "", "service token is empty"],
  ["a NUL", (token: string) => `${token.slice(0, 20)}\0${token.slice(21)}`, "NUL character"],
  [
    "a changed letter",
    (token: string) => `${token.slice(0, -9)}${token.at(-9) === "a" ? "b" : "a"}${token.slice(-8)}`,
    "wrong checksum",
  ],
] as const)("bad-03: a token file with %s is read or refused with the rule it breaks", async ([, change, error]) => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  await writeFile(runner.tokenFile, change(runner.token));

  const started = world.startRunner(runner);

  if (error === undefined) return void (await untilConnected(world, runner));
  await until("the runner has given up", () => started.process.exitCode !== null);
  expect(started.output()).toContain(error);
  expect(started.output()).not.toContain(runner.token.slice(30, 90));
});

test("bad-03: an enrollment with malformed parts is refused by field, and leaves no identity", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const request = await prepareEnrollment(world.server.gateway, runner.token);
  const { runners } = clientsFor(world.server.gateway, "");

  const outcomes = await Promise.all(
    [
      { runnerId: "" },
      { runnerId: `${runner.id}\n` },
      { runnerId: runner.id.toUpperCase() },
      { runnerId: `${runner.id}\0` },
      { nonce: new Uint8Array() },
      { nonce: new Uint8Array(1_000_000) },
      { csr: new Uint8Array(1_000_000) },
      { signature: new Uint8Array() },
      { host: "a\0b" },
    ].map((part) => outcomeOf(runners.enroll({ ...request, ...part }))),
  );

  expect(new Set(outcomes)).toEqual(new Set(["INVALID_ARGUMENT"]));
  expect(await world.database.sql`select 1 from identity`).toHaveLength(0);
});

test("bad-04: a recorded enrollment played again issues nothing new, and nothing at all once superseded", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const recorded = await prepareEnrollment(world.server.gateway, runner.token);
  const first = await world.admin.runners.enroll(recorded);

  const replayed = await world.admin.runners.enroll(recorded);
  await enrollClient(world.server.gateway, runner.token);

  expect(replayed.identity!.chainPem).toBe(first.identity!.chainPem);
  expect(await outcomeOf(world.admin.runners.enroll(recorded))).toBe("IDENTITY_SUPERSEDED");
});

test("bad-04: a recorded enrollment with another key, another nonce or for another runner is refused", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const other = await world.register("build-2");
  const recorded = await prepareEnrollment(world.server.gateway, runner.token);
  const fresh = await prepareEnrollment(world.server.gateway, runner.token);
  const enroll = (part: Partial<typeof recorded>) => outcomeOf(world.admin.runners.enroll({ ...recorded, ...part }));

  expect(await enroll({ csr: fresh.csr })).toBe("SERVICE_TOKEN_INVALID");
  expect(await enroll({ nonce: fresh.nonce })).toBe("SERVICE_TOKEN_INVALID");
  expect(await enroll({ runnerId: other.id })).toBe("NONCE_INVALID");
  expect(await enroll({ nonce: recorded.nonce.with(0, recorded.nonce[0]! ^ 1) })).toBe("NONCE_INVALID");
});

test("a token is refused from outside its networks, and believed only from a trusted proxy", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1", { token: { sourceCidrs: ["10.1.0.0/16"] } });

  const enrollFrom = async (forwarded: string) => {
    const request = await prepareEnrollment(world.server.gateway, runner.token);
    return outcomeOf(world.admin.runners.enroll(request, { headers: { "x-forwarded-for": forwarded } }));
  };

  const direct = await outcomeOf(enrollClient(world.server.gateway, runner.token));
  const forged = await enrollFrom("10.1.2.3");
  await world.restartServer({ trusted_proxies: "127.0.0.0/8" });
  const outside = await enrollFrom("10.1.2.3, 192.0.2.7");
  const inside = await enrollFrom("192.0.2.7, 10.1.2.3");

  expect([direct, forged, outside]).toEqual(Array(3).fill("SERVICE_TOKEN_REFUSED"));
  expect(inside).toBe("ok");
});

test.for(["300.0.0.0/8", "10.0.0.0/64", "::/129", "10.0.0.0/"])(
  "a runner is not registered for the network %s",
  async (cidr) => {
    await using world = await createWorld();

    expect(await outcomeOf(world.register("build-1", { token: { sourceCidrs: [cidr] } }))).toBe("INVALID_ARGUMENT");
  },
);

test("a token that has expired enrolls nobody, and what it enrolled goes on", async () => {
  await using world = await createWorld();
  const runner = await world.register("build-1");
  const identity = await enrollClient(world.server.gateway, runner.token);
  await world.database.sql`update runner set token_expire_time = now() - interval '1 second' where id = ${runner.id}`;

  expect(await outcomeOf(enrollClient(world.server.gateway, runner.token))).toBe("SERVICE_TOKEN_REFUSED");
  expect(identity.generation).toBe("1");
});
