import { afterAll, expect, test } from "vitest";
import { moveJob, type MoveTarget } from "../../server/src/store/job-order.ts";
import { insertOrganization } from "../../server/src/store/organizations.ts";
import { createId } from "../../wire/ids.ts";
import { createRunWorld } from "./run-world.ts";

const world = await createRunWorld();
afterAll(() => world[Symbol.asyncDispose]());
const { sql } = world;

let organizations = 0;

/** A queue of so many jobs in an organization of its own; the names of the jobs are j0, j1, … */
async function queueOf(count: number) {
  const organization = await insertOrganization(sql, `queue-${organizations++}`, null);
  const text = `jobs:\n${Array.from({ length: count }, (_, index) => `  j${index}: { run: x }\n`).join("")}`;
  const run = await world.start(text, undefined, organization.id);
  const jobs = await world.jobs(run);
  const idOf = (name: string) => jobs[name]!.id;
  return {
    organizationId: organization.id,
    run,
    idOf,
    order: async () =>
      (
        await sql<{ name: string }[]>`
          select name from job where organization_id = ${organization.id} and state = 'queued'
          order by priority desc, rank, key`
      ).map((row) => row.name),
    move: (name: string, to: MoveTarget) =>
      sql.begin((transaction) => moveJob(transaction, { id: idOf(name), organizationId: organization.id }, to)),
  };
}

test("a job goes before another, after another, to the top, to the end, and writes one row", async () => {
  const queue = await queueOf(5);

  const written = [
    await queue.move("j4", { kind: "before", jobId: queue.idOf("j1") }),
    await queue.move("j0", { kind: "after", jobId: queue.idOf("j2") }),
    await queue.move("j3", { kind: "top" }),
    await queue.move("j1", { kind: "end" }),
  ];

  expect(written.map((rows) => rows.length)).toEqual([1, 1, 1, 1]);
  expect(await queue.order()).toEqual(["j3", "j4", "j2", "j0", "j1"]);
});

test("a moved job takes on the priority of its new neighbours", async () => {
  const queue = await queueOf(3);
  await sql`update job set priority = 50 where id = ${queue.idOf("j2")}`;

  const [moved] = await queue.move("j1", { kind: "before", jobId: queue.idOf("j2") });

  expect(moved).toMatchObject({ priority: 50 });
  expect(await queue.order()).toEqual(["j1", "j2", "j0"]);
});

test("a job at the end stands before those that join the queue later", async () => {
  const queue = await queueOf(2);
  await queue.move("j0", { kind: "end" });
  await world.start("jobs:\n  later: { run: x }\n", undefined, queue.organizationId);

  expect(await queue.order()).toEqual(["j1", "j0", "later"]);
});

test("a job that waits out its back-off, or that something holds, moves like any other", async () => {
  const queue = await queueOf(3);
  await sql`update job set available_time = now() + interval '1 hour' where id = ${queue.idOf("j2")}`;
  await sql`update job set concurrency_group = 'g', concurrency_limit = 1 where id = ${queue.idOf("j1")}`;

  const [late] = await queue.move("j2", { kind: "top" });
  await queue.move("j1", { kind: "before", jobId: queue.idOf("j2") });

  expect(late!.availableTime).not.toBeNull();
  expect(await queue.order()).toEqual(["j1", "j2", "j0"]);
});

test("moves never cross organizations, and a job that is gone from the queue is not a place", async () => {
  const [queue, other] = [await queueOf(2), await queueOf(1)];
  const stranger = queue.move("j0", { kind: "before", jobId: other.idOf("j0") });
  await expect(stranger).rejects.toThrow("not in the queue any more");
  await world.claim([queue.idOf("j1")]);

  await expect(queue.move("j1", { kind: "top" })).rejects.toThrow("not in the queue any more");
  await expect(queue.move("j0", { kind: "after", jobId: queue.idOf("j1") })).rejects.toThrow(
    "not in the queue any more",
  );
  await expect(queue.move("j0", { kind: "after", jobId: queue.idOf("j0") })).rejects.toThrow("beside itself");
});

test("bad-23: two people who drag jobs into one gap at once give each a place of its own", async () => {
  const queue = await queueOf(12);
  const names = Array.from({ length: 10 }, (_, index) => `j${index + 2}`);

  await Promise.all(names.map((name) => queue.move(name, { kind: "after", jobId: queue.idOf("j0") })));

  const order = await queue.order();
  expect([order[0], order.at(-1)]).toEqual(["j0", "j1"]);
  const ranks = await sql`select distinct rank from job where run_id = ${queue.run.id}`;
  expect(ranks).toHaveLength(12);
});

test("bad-23: a job is moved or claimed, never both, where the two meet", async () => {
  const queue = await queueOf(20);
  const names = Array.from({ length: 20 }, (_, index) => `j${index}`);

  const moves = names.map((name) =>
    queue.move(name, { kind: "top" }).then(
      () => true,
      () => false,
    ),
  );
  const claims = names.map((name) => world.claim([queue.idOf(name)]));
  const claimed = (await Promise.all(claims)).flat();
  await Promise.all(moves);

  const left = await queue.order();
  expect(claimed.length + left.length).toBe(20);
  const running =
    await sql`select from job where run_id = ${queue.run.id} and state = 'running' and workload_key is not null`;
  expect(running).toHaveLength(claimed.length);
});

test("bad-23: a gap that is used up is spread anew, and the order stays", async () => {
  const queue = await queueOf(130);
  const before = await queue.order();
  const low = `${"0".repeat(11)}1${"0".repeat(190)}1`;
  await sql`update job set rank = ${low} where id = ${queue.idOf("j60")}`;
  await sql`update job set rank = ${`${low}1`} where id = ${queue.idOf("j61")}`;
  await sql`update job set rank = '00000000000' || rank where key < (select key from job where id = ${queue.idOf("j60")}) and run_id = ${queue.run.id}`;
  expect(await queue.order()).toEqual(before);

  const rows = await queue.move("j129", { kind: "after", jobId: queue.idOf("j60") });

  const expected = before
    .filter((name) => name !== "j129")
    .flatMap((name) => (name === "j60" ? ["j60", "j129"] : [name]));
  expect(await queue.order()).toEqual(expected);
  expect(rows[0]!.rank.length).toBeLessThan(60);
  expect(rows.length).toBeGreaterThan(50);
});

test("bad-23: a thousand drags into one gap end with ranks that fit, and nobody else's order changes", async () => {
  const queue = await queueOf(6);
  for (let drag = 0; drag < 1000; drag++) {
    await queue.move(drag % 2 === 0 ? "j4" : "j5", { kind: "after", jobId: queue.idOf("j0") });
  }

  const lengths = await sql<{ length: number }[]>`select length(rank) from job where run_id = ${queue.run.id}`;
  expect(Math.max(...lengths.map((row) => row.length))).toBeLessThanOrEqual(201);
  expect(await queue.order()).toEqual(["j0", "j5", "j4", "j1", "j2", "j3"]);
});

test("bad-23: a neighbourhood that is spread anew while runs are taken on and jobs claimed waits for nobody in a circle", async () => {
  const queue = await queueOf(60);
  await sql`update job set rank = '00000000000' || repeat('0', 195) || '1' || rank where run_id = ${queue.run.id} and state = 'queued'`;
  const crowd = async () => {
    for (let index = 59; index > 30; index--) {
      await queue.move(`j${index}`, { kind: "before", jobId: queue.idOf("j0") }).catch(() => undefined);
    }
  };
  const cancels = Array.from({ length: 20 }, (_, index) => world.claim([queue.idOf(`j${index + 5}`)]));

  await Promise.all([crowd(), ...cancels, world.cancelRun(queue.run.id, { reason: "", grace_ms: null })]);

  expect(await queue.order()).toEqual([]);
});

test("bad-23: among a hundred thousand waiting jobs one is moved to the top, the end and the middle", async () => {
  const queue = await queueOf(2);
  await sql`
    insert into job (id, organization_id, run_id, run_number, attempt, name, definition, state, rank, tag, queue_time)
    select 'job_' || ${createId("job").slice(4, 12)} || n, ${queue.organizationId}, ${queue.run.id}, 1, 1, 'many' || n, 'many', 'queued',
      lpad(to_hex(n), 12, '0') || 'i', n, now() from generate_series(1, 100000) as n`;
  await sql`analyze job`;
  const [middle] = await sql<
    { id: string }[]
  >`select id from job where run_id = ${queue.run.id} and name = 'many50000'`;
  const place = async () => (await queue.order()).indexOf("j1");

  const places: number[] = [];
  for (const to of [{ kind: "end" }, { kind: "top" }, { kind: "after", jobId: middle!.id }] as MoveTarget[]) {
    await queue.move("j1", to);
    places.push(await place());
  }

  expect(places).toEqual([100_001, 0, (await queue.order()).indexOf("many50000") + 1]);
}, 60_000);
