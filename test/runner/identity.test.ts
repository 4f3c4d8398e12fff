import { existsSync, readdirSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { DisconnectSchema } from "../../proto/gen/agyn/orchestrator/v1/placements_pb.ts";
import { openIdentityDirectory } from "../../runner/src/identity-store.ts";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { controlPlaneOfTest, runnerOfTest, simulated, temporaryDirectory } from "./world.ts";

test("an identity is renewed over the live connection, and the workloads carry over", async () => {
  const controlPlane = await controlPlaneOfTest();
  controlPlane.script.renewAfterMs = 800;
  await runnerOfTest(controlPlane);
  const first = await controlPlane.session(1);
  const place = simulated({ durationMs: 3000 });
  first.place(place);
  await first.next("accepted", place.workloadId);
  controlPlane.script.renewAfterMs = 3_600_000;

  const second = await controlPlane.session(2);

  expect((await second.hello).held).toMatchObject([{ workloadId: place.workloadId }]);
  expect(first.isOver || (await eventually("the first session's end", () => first.isOver))).toBe(true);
  await second.next("completed", place.workloadId);
  expect(controlPlane.csrs).toHaveLength(2);
});

test("I1: what is placed over the old session after the new one's hello does not start", async () => {
  const controlPlane = await controlPlaneOfTest();
  controlPlane.script.renewAfterMs = 500;
  await runnerOfTest(controlPlane);
  const first = await controlPlane.session(1);
  const second = await eventually("a second session", () => controlPlane.sessions[1]);
  await second.hello;
  controlPlane.script.renewAfterMs = 3_600_000;
  const [late, next] = [simulated({}), simulated({})];

  first.place(late);
  const beats = first.all("heartbeat").length;
  await eventually("an answered heartbeat after it", () => first.all("heartbeat").length > beats + 1);
  second.welcome({ sessionNumber: 2n });
  second.place(next);

  await second.next("completed", next.workloadId);
  const accepted = [...first.all("accepted"), ...second.all("accepted")].map(({ workloadId }) => workloadId);
  expect(new Set(accepted)).toEqual(new Set([next.workloadId]));
});

test("the renewal whose reply was lost is asked for again with the same request", async () => {
  const controlPlane = await controlPlaneOfTest();
  controlPlane.script.renewAfterMs = 500;
  controlPlane.script.lostRenewalReplies = 2;
  await runnerOfTest(controlPlane);
  await controlPlane.session(1);
  await eventually("the first renewal", () => controlPlane.csrs.length >= 2);
  controlPlane.script.renewAfterMs = 3_600_000;

  await controlPlane.session(2);

  const [enrolled, ...renewals] = controlPlane.csrs;
  expect(renewals).toHaveLength(3);
  expect(new Set(renewals).size).toBe(1);
  expect(renewals).not.toContain(enrolled);
});

test("a runner that starts again uses the identity it has, and renews an expired one by its key", async () => {
  const controlPlane = await controlPlaneOfTest();
  const dataDirectory = temporaryDirectory();
  const first = await runnerOfTest(controlPlane, { dataDirectory });
  await controlPlane.session(1);
  first.stop(0);
  await first.done;
  const store = openIdentityDirectory(join(dataDirectory, "identity"));

  const second = await runnerOfTest(controlPlane, { dataDirectory, token: undefined });
  expect((await (await controlPlane.session(2)).hello).lastSessionNumber).toBe(1n);
  expect(controlPlane.csrs).toHaveLength(1);
  second.stop(0);
  await second.done;

  const kept = store.load();
  if (kept?.identity === undefined) throw new Error("no identity is kept");
  store.save({ ...kept, identity: { ...kept.identity, expireTimeMs: 1 } });
  await runnerOfTest(controlPlane, { dataDirectory, token: undefined });
  await controlPlane.session(3);
  expect(controlPlane.csrs).toHaveLength(2);
});

test.each(["IDENTITY_SUPERSEDED", "IDENTITY_REVOKED"])(
  "a runner whose hello is refused with %s enrolls anew with a new key",
  async (reason) => {
    const controlPlane = await controlPlaneOfTest();
    await runnerOfTest(controlPlane);
    const refused = await eventually("a first session", () => controlPlane.sessions[0]);

    refused.say({ case: "disconnect", value: create(DisconnectSchema, { reason }) });

    expect((await (await controlPlane.session(2)).hello).lastSessionNumber).toBe(0n);
    expect(new Set(controlPlane.csrs).size).toBe(2);
  },
);

test("a runner whose session was taken over dials again with the identity it has", async () => {
  const controlPlane = await controlPlaneOfTest();
  await runnerOfTest(controlPlane);
  const first = await controlPlane.session(1);

  first.say({ case: "disconnect", value: create(DisconnectSchema, { reason: "IDENTITY_SUPERSEDED" }) });

  expect((await (await controlPlane.session(2)).hello).lastSessionNumber).toBe(1n);
  expect(controlPlane.csrs).toHaveLength(1);
});

test("a runner whose identity is revoked in mid-session gives up", async () => {
  const controlPlane = await controlPlaneOfTest();
  const runner = await runnerOfTest(controlPlane);
  const session = await controlPlane.session(1);

  session.say({ case: "disconnect", value: create(DisconnectSchema, { reason: "IDENTITY_REVOKED" }) });

  await expect(runner.done).rejects.toThrow("was revoked");
});

test("bad-06: a runner whose clock is behind renews a certificate that the control plane finds expired", async () => {
  const controlPlane = await controlPlaneOfTest();
  const dataDirectory = temporaryDirectory();
  controlPlane.script.certificateTtlMs = 3000;
  const first = await runnerOfTest(controlPlane, { dataDirectory });
  await controlPlane.session(1);
  first.stop(0);
  await first.done;
  const store = openIdentityDirectory(join(dataDirectory, "identity"));
  const kept = store.load();
  if (kept?.identity === undefined) throw new Error("no identity is kept");
  await eventually("the certificate's end", () => Date.now() > (kept.identity?.expireTimeMs ?? 0));
  store.save({
    ...kept,
    identity: { ...kept.identity, expireTimeMs: Date.now() + 86_400_000, renewTimeMs: Date.now() + 86_400_000 },
  });
  controlPlane.script.certificateTtlMs = 3_600_000;

  await runnerOfTest(controlPlane, { dataDirectory, token: undefined });

  await controlPlane.session(2);
  expect(controlPlane.csrs).toHaveLength(2);
});

test.each([
  ["RUNNER_LOCKED", "suspected stolen"],
  ["SERVICE_TOKEN_INVALID", "does not know this service token"],
  ["SERVICE_TOKEN_REFUSED", "refuses this service token"],
  ["NOT_FOUND", "may have been deleted"],
])("a runner that is refused with %s gives up and says why", async (reason, text) => {
  const controlPlane = await controlPlaneOfTest();
  controlPlane.script.enrollmentRefusal = reason;

  const runner = await runnerOfTest(controlPlane);

  await expect(runner.done).rejects.toThrow(text);
});

test("a first enrollment that is refused for good leaves of the data directory what was there before", async () => {
  const controlPlane = await controlPlaneOfTest();
  controlPlane.script.enrollmentRefusal = "SERVICE_TOKEN_REFUSED";
  const before = temporaryDirectory();
  const dataDirectory = join(before, "made", "for", "this");

  const runner = await runnerOfTest(controlPlane, { dataDirectory, executors: ["process", "simulated"] });
  await expect(runner.done).rejects.toThrow("refuses this service token");
  expect(readdirSync(before)).toEqual([]);

  const another = await runnerOfTest(controlPlane, { dataDirectory: before });
  await expect(another.done).rejects.toThrow("refuses this service token");
  expect(readdirSync(before)).toContain("identity");
});

test("a runner that loses its identity later keeps its data directory", async () => {
  const controlPlane = await controlPlaneOfTest();
  const dataDirectory = join(temporaryDirectory(), "kept");
  const runner = await runnerOfTest(controlPlane, { dataDirectory });
  const session = await controlPlane.session(1);
  controlPlane.script.enrollmentRefusal = "SERVICE_TOKEN_REFUSED";

  session.say({ case: "disconnect", value: create(DisconnectSchema, { reason: "IDENTITY_SUPERSEDED" }) });
  const second = await eventually("a second session", () => controlPlane.sessions[1]);
  await second.hello;
  second.say({ case: "disconnect", value: create(DisconnectSchema, { reason: "IDENTITY_REVOKED" }) });

  await expect(runner.done).rejects.toThrow("refuses this service token");
  expect(existsSync(dataDirectory)).toBe(true);
});

test("a newcomer waits while another process of the runner is connected, and takes its place afterwards", async () => {
  const controlPlane = await controlPlaneOfTest();
  controlPlane.script.enrollmentRefusal = "RUNNER_HAS_LIVE_SESSION";
  await runnerOfTest(controlPlane);
  await eventually("an enrollment that was refused", () => controlPlane.refusedEnrollments > 0);

  controlPlane.script.enrollmentRefusal = undefined;

  await controlPlane.session(1);
});

test("a runner that serves the cluster without isolation refuses, unless it is told otherwise", async () => {
  const controlPlane = await controlPlaneOfTest();
  const runner = await runnerOfTest(controlPlane, { executors: ["process"], isolation: "none" });

  await controlPlane.session(1, { isCluster: true });

  await expect(runner.done).rejects.toThrow("--unsafe-shared-user");
});

test("a second process on the same directory is an error that names the first", async () => {
  const controlPlane = await controlPlaneOfTest();
  const dataDirectory = temporaryDirectory();
  await runnerOfTest(controlPlane, { dataDirectory });

  await expect(runnerOfTest(controlPlane, { dataDirectory })).rejects.toThrow(`is in use by process ${process.pid}`);
});
