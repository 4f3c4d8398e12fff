import fc from "fast-check";
import { expect, test } from "vitest";
import type { PlannedJob } from "../../pipelines/pipeline.ts";
import { hasJobEnded, type JobState } from "../../server/src/domain/run-state.ts";
import { decideRun, type JobStanding, type JobStep, type RunStanding } from "../../server/src/runs/decide-run.ts";
import { pipelineOf, planOf, run } from "../pipelines/support.ts";

/** A job as it stands: blocked, unless said otherwise. */
function standing(planned: PlannedJob, more: Partial<JobStanding> = {}): JobStanding {
  return { planned, state: "blocked", skipCause: null, outputs: {}, stopRequested: false, isUploading: false, ...more };
}

function decide(text: string, states: Record<string, Partial<JobStanding>>, more: Partial<RunStanding> = {}) {
  const jobs = planOf(pipelineOf(text)).jobs.map((planned) => standing(planned, states[planned.name]));
  const steps = decideRun({ inputs: {}, run, env: {}, ending: "", cancelled: false, mayBegin: true, jobs, ...more });
  return Object.fromEntries([...steps].map(([name, step]) => [name, step.kind]));
}

const chain = "jobs:\n  a: { run: x }\n  b: { needs: a, run: x }\n  c: { needs: b, if: always(), run: x }\n";
const cancelled = { ending: "not needed", cancelled: true };
const timedOut = { ending: "the run's time is up" };

test.each<[string, Record<string, Partial<JobStanding>>, Partial<RunStanding>, Record<string, JobStep["kind"]>]>([
  ["what needs nothing joins the queue", {}, {}, { a: "queue" }],
  ["what needs a running one waits", { a: { state: "running" } }, {}, {}],
  ["what needs one that succeeded joins the queue", { a: { state: "succeeded" } }, {}, { b: "queue" }],
  [
    "what needs a failed one is skipped, and what always runs joins the queue",
    { a: { state: "failed" } },
    {},
    { b: "skip", c: "queue" },
  ],
  [
    "what waits in a cancelled run ends; what always runs joins the queue",
    { a: { state: "queued" } },
    cancelled,
    { a: "cancel", b: "cancel", c: "queue" },
  ],
  [
    "what runs in a cancelled run is stopped",
    { a: { state: "running" } },
    cancelled,
    { a: "stop", b: "cancel", c: "queue" },
  ],
  [
    "what was asked to stop is not asked again",
    {
      a: { state: "running", stopRequested: true },
      b: { state: "cancelled" },
      c: { state: "running", stopRequested: true },
    },
    cancelled,
    {},
  ],
  [
    "what always runs ends too where the run's time is up",
    { a: { state: "running" } },
    timedOut,
    { a: "stop", b: "cancel", c: "cancel" },
  ],
  ["nothing begins before the run's group lets it", {}, { mayBegin: false }, {}],
  [
    "nothing of a run that never began runs when it is cancelled",
    {},
    { ...cancelled, mayBegin: false },
    { a: "cancel", b: "cancel", c: "cancel" },
  ],
])("%s", (_what, states, more, steps) => {
  expect(decide(chain, states, more)).toEqual(steps);
});

test("a failed cell of a matrix that fails fast ends its siblings, and nothing else", () => {
  const text = `
jobs:
  t: { run: x, matrix: { n: [1, 2, 3], fail_fast: true } }
  u: { run: x, matrix: { n: [1, 2], fail_fast: false } }
`;
  const states = {
    "t (1)": { state: "failed" as const },
    "t (2)": { state: "running" as const },
    "u (1)": { state: "failed" as const },
  };

  expect(decide(text, states)).toEqual({ "t (2)": "stop", "t (3)": "cancel", "u (2)": "queue" });
});

test("a condition asks for what became of the needed jobs", () => {
  const text = `
jobs:
  a: { run: x }
  on_failure: { needs: a, if: failure(), run: x }
  on_cancel: { needs: a, if: cancelled(), run: x }
  otherwise: { needs: a, run: x }
`;
  const of = (state: JobState, more = {}) => decide(text, { a: { state } }, more);

  expect(of("succeeded")).toEqual({ on_failure: "skip", on_cancel: "skip", otherwise: "queue" });
  expect(of("failed")).toEqual({ on_failure: "queue", on_cancel: "skip", otherwise: "skip" });
  expect(of("cancelled", cancelled)).toEqual({ on_failure: "cancel", on_cancel: "queue", otherwise: "cancel" });
});

const conditions = [undefined, "always()", "failure()", "cancelled()", "success()", "${{ run.number == 0 }}"];
/** Pipelines whose jobs need some of those before them. */
const pipeline = fc
  .array(fc.record({ needs: fc.array(fc.nat(9), { maxLength: 3 }), condition: fc.constantFrom(...conditions) }), {
    minLength: 1,
    maxLength: 10,
  })
  .map((jobs) =>
    jobs
      .map(({ needs, condition }, index) => {
        const before = [...new Set(needs.map((one) => one % Math.max(index, 1)))].map((one) => `j${one}`);
        const words = [index > 0 && `needs: [${before.join(", ")}]`, condition && `if: "${condition}"`, "run: x"];
        return `  j${index}: { ${words.filter(Boolean).join(", ")} }\n`;
      })
      .join(""),
  );

/** What an outside event makes of a job that waits or runs. */
const events: [JobState, JobState][] = [
  ["queued", "running"],
  ["running", "succeeded"],
  ["running", "failed"],
  ["running", "cancelled"],
];

test("deciding again gives nothing, and a run ends whatever happens to it", () => {
  const happenings = fc.array(fc.tuple(fc.nat(9), fc.nat(3)), { maxLength: 60 });
  fc.assert(
    fc.property(pipeline, happenings, fc.nat(60), (jobs, happened, cancelledAt) => {
      const planned = planOf(pipelineOf(`jobs:\n${jobs}`)).jobs;
      let now = planned.map((one) => standing(one));
      for (let turn = 0; turn < happened.length + 3 * planned.length + 1; turn++) {
        const ending = turn >= cancelledAt ? cancelled : { ending: "", cancelled: false };
        const settle = () => decideRun({ inputs: {}, run, env: {}, mayBegin: true, ...ending, jobs: now });
        now = apply(now, settle());
        expect([...settle().keys()]).toEqual([]);
        const [which, what] = happened[turn] ?? [turn, 0];
        now = happen(now, which, what);
      }
      expect(now.filter(({ state }) => !hasJobEnded(state)).map(({ planned: one }) => one.name)).toEqual([]);
    }),
  );
});

const written = { queue: "queued", skip: "skipped", fail: "failed", cancel: "cancelled" } as const;

function apply(jobs: readonly JobStanding[], steps: ReadonlyMap<string, JobStep>): JobStanding[] {
  return jobs.map((job) => {
    const step = steps.get(job.planned.name);
    if (!step) return job;
    if (step.kind === "stop") return { ...job, stopRequested: true };
    return { ...job, state: written[step.kind], skipCause: step.kind === "skip" ? step.cause : null };
  });
}

/** Once the given events are over, the first live job goes on and ends. */
function happen(jobs: readonly JobStanding[], which: number, what: number): JobStanding[] {
  const live = jobs.filter(({ state }) => state === "queued" || state === "running");
  const chosen = live[which % Math.max(live.length, 1)];
  const possible = events.filter(([from]) => from === chosen?.state);
  return jobs.map((job) => (job === chosen ? { ...job, state: possible[what % possible.length]![1] } : job));
}

test("a job that asks for an artifact waits while the job that keeps it sends it", () => {
  const text = `
jobs:
  a: { run: x, artifacts: { upload: [{ name: dist, paths: dist }] } }
  b: { needs: a, run: x, artifacts: { download: [a/dist] } }
  c: { needs: a, run: x }
`;
  expect(decide(text, { a: { state: "succeeded", isUploading: true } })).toEqual({ c: "queue" });
  expect(decide(text, { a: { state: "succeeded" } })).toEqual({ b: "queue", c: "queue" });
});
