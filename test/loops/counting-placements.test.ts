import { expect, onTestFinished, test } from "vitest";
import type { Demand } from "../../server/src/domain/demand.ts";
import { demandToJson } from "../../server/src/domain/workload.ts";
import { endWorkloads, lostEnding } from "../../server/src/store/workload-transitions.ts";
import { getWorkload } from "../../server/src/store/workloads.ts";
import { createId } from "../../wire/ids.ts";
import { gateSql } from "../support/gated-sql.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { openPlacer } from "./world.ts";

const organizationId = "org_answers";
const demand: Demand = {
  organizationId,
  requirements: [],
  capabilities: [],
  executor: "process",
  resources: new Map([["slots", 1]]),
  preferences: [],
};

test("a placement whose answer was lost goes on taking its runner's slot", async () => {
  const { sql, placer, loseNextAnswer } = await openLossyWorld();
  const first = newWorkload();
  loseNextAnswer();

  await expect(placer.start({ workload: first, demand })).rejects.toThrow("the answer was lost");
  await placer.renewLease();
  const second = await placer.start({ workload: newWorkload(), demand });

  expect(await getWorkload(sql, first.id)).toMatchObject({ phase: "placed" });
  expect(second).toMatchObject({ row: { phase: "pending" } });
});

test("starts that come together do not get the same last slot", async () => {
  const { placer } = await openLossyWorld(2);

  // The second and the third are one batch, because they come while the first is written.
  const outcomes = await Promise.all([1, 2, 3].map(() => placer.start({ workload: newWorkload(), demand })));

  const phases = outcomes.map((one) => (one.kind === "started" ? one.row.phase : one.kind));
  expect(phases.toSorted()).toEqual(["pending", "placed", "placed"]);
});

test("a start that failed frees the slot that was meant for it", async () => {
  const { placer, failNextWrite } = await openLossyWorld();
  failNextWrite();

  await expect(placer.start({ workload: newWorkload(), demand })).rejects.toThrow("not sent");
  await placer.renewLease();

  expect(await placer.start({ workload: newWorkload(), demand })).toMatchObject({ row: { phase: "placed" } });
});

test("a next try is placed although nobody heard that the try before it ended", async () => {
  const { sql, writer, placer } = await openLossyWorld();
  const started = await placer.start({ workload: { ...newWorkload(), maximumTries: 2, retryOnLost: true }, demand });
  if (started.kind !== "started") throw new Error(`the start came to ${started.kind}`);
  const [ended] = await endWorkloads(sql, writer, [lostEnding(started.row, "its runner is gone", true)]);

  // What is counted and not there twice in a row is gone.
  for (const _ of [1, 2]) await placer.recount();

  const retry = () => getWorkload(sql, ended!.retriedBy!);
  await expect.poll(retry).toMatchObject({ phase: "placed" });
});

/** A leader with one runner, whose writes may fail. */
async function openLossyWorld(slots = 1) {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const { sql } = database;
  let fate: "done" | "not sent" | "not answered" = "done";
  const lossy = gateSql(
    sql,
    async (run, reads) => {
      const mine = reads ? "done" : fate;
      if (!reads) fate = "done";
      if (mine === "not sent") throw new Error("the write was not sent");
      const result = await run();
      if (mine === "not answered") throw new Error("the answer was lost");
      return result;
    },
    sql,
  );
  const report = { labels: {}, found: [], executors: ["process"], capacity: { slots } };
  await sql`insert into organization (id, name) values (${organizationId}, 'default')`;
  await sql`insert into runner (id, organization_id, name, token_public_key, status, session_replica_id, reported)
    values ('rnr_a', ${organizationId}, 'build-1', '', 'enrolled', 'rep_a', ${sql.json(report)})`;
  const { writer, placer } = await openPlacer(lossy);
  onTestFinished(() => placer.stop());
  await placer.renewLease();
  return {
    ...{ sql, writer, placer },
    loseNextAnswer: () => (fate = "not answered"),
    failNextWrite: () => (fate = "not sent"),
  };
}

function newWorkload() {
  return {
    id: createId("workload"),
    organizationId,
    name: "",
    labels: {},
    spec: Buffer.of(),
    demand: demandToJson(demand),
    maximumTries: 1,
    retryOnLost: false,
    retryOnFailed: false,
    lostAfter_ms: null,
    pendingTimeout_ms: 60_000,
    createdBy: "",
  };
}
