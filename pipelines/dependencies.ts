import { limits, limitText } from "./limits.ts";
import { quote, suggest, type Place, type Report } from "./problems.ts";
import type { Located } from "./shapes.ts";

/** A job and the jobs it needs, as the file says. */
export interface Dependent {
  readonly name: string;
  readonly needs: readonly Located<string>[];
}

/** Jobs shown of a circle. */
const shownInCircle = 8;

/** Refuses needs that are unknown, of the job itself, or go in a circle. */
export function checkDependencies(jobs: readonly Dependent[], names: ReadonlySet<string>, report: Report): void {
  for (const { name, needs } of jobs) {
    for (const { value: need, node } of needs) {
      if (need === name) report.add(node, `${quote(name)} needs itself`);
      else if (!names.has(need)) report.add(node, `there is no job ${quote(need)}`, suggest(need, names));
    }
  }
  const byName = new Map(jobs.map((job) => [job.name, job]));
  const isDone = new Set<string>();
  for (const job of jobs) checkCircles(job, { byName, isDone, report, path: [] });
}

interface Walk {
  readonly byName: ReadonlyMap<string, Dependent>;
  readonly isDone: Set<string>;
  readonly report: Report;
  /** From the job where the walk began to the one it is at; as deep as there are jobs, at most. */
  readonly path: string[];
}

function checkCircles(job: Dependent, walk: Walk): void {
  if (walk.isDone.has(job.name)) return;
  walk.path.push(job.name);
  for (const { value: need, node } of job.needs) {
    const next = walk.byName.get(need);
    const start = walk.path.indexOf(need);
    if (start < 0 && next !== undefined) checkCircles(next, walk);
    else if (start >= 0 && need !== job.name) walk.report.add(node, circleText([...walk.path.slice(start), need]));
  }
  walk.path.pop();
  walk.isDone.add(job.name);
}

function circleText(circle: readonly string[]): string {
  const isLong = circle.length > shownInCircle + 1;
  const shown = isLong ? [...circle.slice(0, shownInCircle), "…", circle.at(-1)] : circle;
  return `needs go in a circle: ${shown.join(" → ")}`;
}

/** For each job, all that must end before it starts. */
export function ancestorsOf(jobs: readonly Dependent[]): ReadonlyMap<string, ReadonlySet<string>> {
  const byName = new Map(jobs.map((job) => [job.name, job]));
  const found = new Map<string, Set<string>>();
  const collect = (name: string, isOpen: ReadonlySet<string>): Set<string> => {
    const known = found.get(name);
    if (known !== undefined) return known;
    const ancestors = new Set<string>();
    for (const { value: need } of byName.get(name)?.needs ?? []) {
      if (!byName.has(need) || isOpen.has(need)) continue;
      ancestors.add(need);
      for (const further of collect(need, new Set([...isOpen, name]))) ancestors.add(further);
    }
    found.set(name, ancestors);
    return ancestors;
  };
  for (const { name } of jobs) collect(name, new Set([name]));
  return found;
}

/** Refuses more jobs, or more dependencies between jobs, than a run may have. `cells` of a job without a matrix are 1. */
export function checkPlanSize(
  jobs: readonly Dependent[],
  cells: (name: string) => number,
  place: Place,
  report: Report,
): void {
  const planned = jobs.reduce((sum, { name }) => sum + cells(name), 0);
  if (planned > limits.plannedJobs.value)
    report.add(
      place,
      `${planned.toLocaleString("en-US")} jobs with those of all matrices: ${limitText("plannedJobs")}`,
    );
  const edges = jobs.reduce(
    (sum, { name, needs }) => sum + cells(name) * needs.reduce((inner, { value }) => inner + cells(value), 0),
    0,
  );
  if (edges > limits.plannedNeeds.value) {
    const hint = "let a job without a matrix stand between two with large ones";
    report.add(place, `${edges.toLocaleString("en-US")} dependencies between jobs: ${limitText("plannedNeeds")}`, hint);
  }
}
