import { afterAll, expect, test } from "vitest";
import { insertProject } from "../../server/src/store/projects.ts";
import { listAuditEvents } from "../../server/src/store/audit-events.ts";
import { rerunRun } from "../../server/src/runs/rerun-run.ts";
import { createId } from "../../wire/ids.ts";
import { createRunWorld } from "./run-world.ts";

const world = await createRunWorld();
afterAll(() => world[Symbol.asyncDispose]());
const { sql, organization } = world;

const usual = { sourceUrl: "", defaultRef: "", weight: 1, maximumRunningJobs: 0, retentionDays: 0 };
let projects = 0;
const newProject = () =>
  insertProject(sql, { id: createId("project"), organizationId: organization.id, name: `p${projects++}`, ...usual });

const waiting = "concurrency: { group: deploy }\njobs:\n  a: { run: x }\n";
const cancelling = "concurrency: { group: deploy, on_conflict: cancel_older }\njobs:\n  a: { run: x }\n";
const jobWise = "jobs:\n  a: { run: x, concurrency: { group: deploy, on_conflict: cancel_older } }\n";

test("a run of a group waits until the one before it has ended, and says for which", async () => {
  const project = await newProject();
  const [first, second, third] = [
    await world.start(waiting, project),
    await world.start(waiting, project),
    await world.start(waiting, project),
  ];
  expect([await world.states(first), await world.states(second)]).toEqual([{ a: "queued" }, { a: "blocked" }]);
  expect((await world.run(second)).message).toBe(`waits for run ${first.number} of the concurrency group "deploy"`);

  await world.cancelRun(first.id, { reason: "", grace_ms: null });
  await world.advance();

  expect([await world.states(second), await world.states(third)]).toEqual([{ a: "queued" }, { a: "blocked" }]);
  expect((await world.run(second)).message).toBe("");
});

test("a group is its project's own", async () => {
  const first = await world.start(waiting, await newProject());
  const second = await world.start(waiting, await newProject());

  expect([await world.states(first), await world.states(second)]).toEqual([{ a: "queued" }, { a: "queued" }]);
});

test("runs of a group that start at once begin one at a time", async () => {
  const project = await newProject();
  const runs = await Promise.all(Array.from({ length: 6 }, () => world.start(waiting, project)));

  const states = await Promise.all(runs.map((run) => world.states(run)));

  expect(states.filter(({ a }) => a === "queued")).toHaveLength(1);
});

test("a run that was held and is cancelled ends without having begun", async () => {
  const project = await newProject();
  await world.start(waiting, project);
  const held = await world.start(waiting.replace("run: x", "run: x, if: always()"), project);

  await world.cancelRun(held.id, { reason: "not needed", grace_ms: null });

  expect(await world.run(held)).toMatchObject({ state: "cancelled", message: "not needed" });
});

test("a newer run of a group that cancels older ones ends them, and then begins; the audit says so", async () => {
  const project = await newProject();
  const older = await world.start(cancelling, project);
  const newer = await world.start(cancelling, project);
  expect(await world.states(newer)).toEqual({ a: "blocked" });

  await world.advance();

  expect(await world.run(older)).toMatchObject({
    state: "cancelled",
    message: `superseded by run ${newer.number} of the concurrency group "deploy"`,
  });
  expect(await world.states(newer)).toEqual({ a: "queued" });
  const scope = { kind: "organization", organizationId: organization.id } as const;
  const { rows } = await listAuditEvents(sql, { scope, objectId: older.id, action: "" }, { size: 10, token: "" });
  expect(rows.map(({ action, outcome, actor }) => `${actor} ${action} ${outcome}`).toSorted()).toEqual([
    "server run.cancel ok",
    "server run.end cancelled",
  ]);
});

test("a run of a group that is run again takes a new turn", async () => {
  const project = await newProject();
  const older = await world.start(cancelling, project);
  await world.cancelRun(older.id, { reason: "", grace_ms: null });
  const newer = await world.start(cancelling, project);
  await world.advance();

  await rerunRun(world.startDeps, { runId: older.id, scope: { kind: "all" }, ifAttempt: undefined });
  await world.advance();

  expect(await world.run(newer)).toMatchObject({ state: "cancelled" });
  expect(await world.states(older)).toEqual({ a: "queued" });
});

test("a newer job of a group that cancels older ones ends those that wait and stops those that run", async () => {
  const project = await newProject();
  const [running, queued] = [await world.start(jobWise, project), await world.start(jobWise, project)];
  const { a } = await world.jobs(running);
  await world.claim([a!.id]);
  const newest = await world.start(jobWise, project);

  await world.advance();
  expect(await world.states(queued)).toEqual({ a: "cancelled" });
  expect((await world.jobs(running))["a"]).toMatchObject({ state: "running", stopRequested: true });
  await world.end(a!, "failed");
  await world.advance();

  expect([await world.states(running), await world.states(newest)]).toEqual([{ a: "cancelled" }, { a: "queued" }]);
});

test("the jobs of one run leave each other alone, and a group of two keeps the newest two", async () => {
  const project = await newProject();
  const cells =
    "jobs:\n  a: { run: x, matrix: { n: [1, 2, 3] }, concurrency: { group: g, limit: 2, on_conflict: cancel_older } }\n";
  const run = await world.start(cells, project);
  await world.advance();
  expect(Object.values(await world.states(run))).toEqual(["queued", "queued", "queued"]);

  const one = cells.replace("[1, 2, 3]", "[4]");
  const newer = [await world.start(one, project), await world.start(one, project)];
  await world.advance();

  expect(Object.values(await world.states(run))).toEqual(["cancelled", "cancelled", "cancelled"]);
  for (const { id } of newer) expect(Object.values(await world.states({ id }))).toEqual(["queued"]);
});

test("bad-55: a run whose stored pipeline is of another version fails for all to see, once", async () => {
  const run = await world.start("jobs:\n  a: { run: x }\n  b: { run: x, needs: a }\n");
  const { a } = await world.jobs(run);
  await world.claim([a!.id]);
  await sql`update run set definition = jsonb_set(definition, '{version}', '99') where id = ${run.id}`;
  await world.end(a!, "succeeded");

  await world.advance();
  const ended = await world.run(run);
  await world.advance();

  expect(ended).toMatchObject({ state: "failed", message: expect.stringContaining("version 99") as string });
  expect(await world.states(run)).toEqual({ a: "failed", b: "failed" });
  expect(await world.run(run)).toEqual(ended);
});

test.each(["definition = '{}'", `definition = '{"version": 1, "jobs": [{}]}'`, `definition = definition - 'env'`])(
  "bad-55: a run whose stored pipeline is damaged (%s) ends, and does not hold up the others",
  async (damage) => {
    const [run, other] = [await world.start("jobs:\n  a: { run: x }\n"), await world.start("jobs:\n  a: { run: x }\n")];
    for (const one of [run, other]) {
      const { a } = await world.jobs(one);
      await world.claim([a!.id]);
      await world.end(a!, "succeeded");
    }
    await sql.unsafe(`update run set ${damage} where id = '${run.id}'`);

    await world.advance();

    expect((await world.run(run)).endTime).not.toBeNull();
    expect((await world.run(other)).state).toBe("succeeded");
  },
);
