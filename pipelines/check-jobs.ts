import { createTextChecker, type TextChecker } from "./check-texts.ts";
import { ancestorsOf, checkDependencies, checkPlanSize } from "./dependencies.ts";
import type { NeedScope } from "./expressions/check-expression.ts";
import { checkArtifacts } from "./job-artifacts.ts";
import { checkRequirements } from "./job-requirements.ts";
import { createCells } from "./matrix.ts";
import type { MatrixCell } from "./pipeline.ts";
import { keyPath, type Report } from "./problems.ts";
import type { YamlNode } from "./read-yaml.ts";
import { jobScopes, pipelineScope, type CellsByJob, type JobScopes } from "./scopes.ts";
import type { Entry } from "./shapes.ts";
import type { JobWords, PipelineWords } from "./words.ts";

interface Checking {
  readonly file: string;
  readonly root: YamlNode;
  readonly words: PipelineWords;
  readonly report: Report;
}

/** Checks what the words alone cannot say: dependencies, matrices, expressions. Answers the cells of the matrices. */
export function checkJobs({ file, root, words, report }: Checking): CellsByJob {
  const jobs = words.jobs ?? [];
  if (words.jobs !== undefined && jobs.length === 0 && !report.hasProblemAt("jobs"))
    report.add(root, "there are no jobs");
  const cells = checkMatrices(jobs, report);
  const texts = createTextChecker(file, report);
  const base = pipelineScope(words);
  for (const { value } of words.env ?? []) texts.text(value, "variable", base);
  texts.text(words.concurrency?.group, "group", base);

  const dependents = jobs.map(({ key, value }) => ({ name: key, needs: value?.needs ?? [] }));
  checkDependencies(dependents, namesOfJobs(root), report);
  checkPlanSize(dependents, (name) => cells.get(name)?.length ?? 1, { path: "jobs", offset: root.offset }, report);
  const ancestors = ancestorsOf(dependents);
  for (const { key, value: job } of jobs) {
    if (job === undefined) continue;
    const needs = new Map((job.needs ?? []).map(({ value: need }) => [need, needScope(need, { jobs, cells, report })]));
    const scopes = jobScopes(base, { job, pipeline: words, cells: cells.get(key), needs });
    checkJob(job, scopes, texts, report);
    const before = jobs.filter((other) => ancestors.get(key)?.has(other.key) === true);
    checkArtifacts(job.artifacts, before, (name) => texts.text(name, "artifact", scopes.texts), report);
  }
  return cells;
}

/** Also those that have problems of their own, which would otherwise be said to be missing. */
function namesOfJobs(root: YamlNode): ReadonlySet<string> {
  const jobs = root.kind === "map" ? root.entries.find(({ key }) => key === "jobs")?.value : undefined;
  return new Set(jobs?.kind === "map" ? jobs.entries.map(({ key }) => key) : []);
}

function checkMatrices(jobs: readonly Entry<JobWords>[], report: Report): CellsByJob {
  const cells = new Map<string, readonly MatrixCell[]>();
  for (const { key, value } of jobs) {
    const matrix = value?.matrix;
    if (matrix === undefined || report.hasProblemAt(matrix.node.path)) continue;
    const created = createCells(matrix.value, matrix.node, report);
    if (created !== undefined) cells.set(key, created);
  }
  return cells;
}

interface Others {
  readonly jobs: readonly Entry<JobWords>[];
  readonly cells: CellsByJob;
  readonly report: Report;
}

function needScope(name: string, { jobs, cells, report }: Others): NeedScope {
  const job = jobs.find(({ key }) => key === name)?.value;
  const isKnown = job !== undefined && !report.hasProblemAt(keyPath(keyPath("jobs", name), "outputs"));
  return { outputs: isKnown ? new Set(job.outputs) : undefined, cells: cells.get(name)?.length ?? 1 };
}

function checkJob(job: JobWords, scopes: JobScopes, texts: TextChecker, report: Report): void {
  for (const { value } of job.env ?? []) texts.text(value, "variable", scopes.env);
  texts.condition(job.if, scopes.condition);
  texts.text(job.container, "container", scopes.texts);
  texts.text(job.concurrency?.group, "group", scopes.texts);
  checkRequirements(job.requires, (value, kind) => texts.text(value, kind, scopes.texts), report);
  checkVariables(job, report);
  if (job.shell !== undefined && job.run?.value.kind === "argv")
    report.add(job.shell.node, "a shell for a list of words", "they are executed without one: leave `shell` out");
  if (job.run?.value.kind === "argv" && job.run.value.arguments[0] === "")
    report.add(job.run.node, "the first word is the program to start, and is empty");
  const { backoff = 0, backoff_max: longest } = job.retries ?? {};
  if (longest !== undefined && longest.value < backoff)
    report.add(longest.node, "the longest wait is shorter than the first");
}

/** A secret and a variable of one name would hide one another. */
function checkVariables(job: JobWords, report: Report): void {
  const secrets = new Set((job.secrets ?? []).map(([variable]) => variable));
  for (const { key, place } of job.env ?? [])
    if (secrets.has(key)) report.add(place, `${key} is also a secret of the job`, "leave one of them");
}
