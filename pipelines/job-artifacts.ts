import type { Artifacts, Text } from "./pipeline.ts";
import { quote, suggest, type Report } from "./problems.ts";
import type { Entry } from "./shapes.ts";
import type { ArtifactsWords, JobWords, TextWords } from "./words.ts";

/** A download as `job/name` or `name`. The job is named as it stands; expressions may make up the name. */
function splitDownload(text: string): { job: string | null; name: Text } {
  const slash = text.indexOf("/");
  const expression = text.indexOf("${{");
  const isJob = slash >= 0 && (expression < 0 || slash < expression);
  return isJob ? { job: text.slice(0, slash), name: text.slice(slash + 1) } : { job: null, name: text };
}

type CheckName = (name: TextWords) => void;

/** Refuses uploads of one name, and downloads of what no job `before` this one uploads. */
export function checkArtifacts(
  words: ArtifactsWords | undefined,
  before: readonly Entry<JobWords>[],
  checkName: CheckName,
  report: Report,
): void {
  const names = new Map<string, string>();
  for (const { name } of words?.upload ?? []) {
    if (name === undefined) continue;
    checkName(name);
    const twin = names.get(name.value.toLowerCase());
    const fault = twin === undefined ? undefined : twinFault(name.value, twin);
    if (fault !== undefined) report.add(name.node, fault, "give each its own name");
    names.set(name.value.toLowerCase(), name.value);
  }
  for (const download of words?.download ?? []) checkDownload(download, before, checkName, report);
}

/** What names of artifacts share that are the same but for case; expressions may still make them differ. */
function twinFault(name: string, twin: string): string | undefined {
  if (name === twin) return `${quote(name)} is uploaded twice`;
  if (name.includes("${{")) return undefined;
  return `${quote(name)} and ${quote(twin)} are one on file systems that do not tell case apart`;
}

function checkDownload(
  words: TextWords,
  before: readonly Entry<JobWords>[],
  checkName: CheckName,
  report: Report,
): void {
  const { job, name } = splitDownload(words.value);
  const jobs = before.map(({ key }) => key);
  if (job !== null && !jobs.includes(job)) {
    report.add(words.node, `${quote(job)} does not come before this job`, suggest(job, jobs));
    return;
  }
  if (job === null || name.includes("${{")) checkName(words);
  const uploads = before.filter(({ key }) => job === null || key === job).flatMap(uploadsOf);
  const isOpen = [name, ...uploads].some((text) => text.includes("${{"));
  if (isOpen || uploads.includes(name) || report.hasProblemAt(words.node.path)) return;
  const message =
    job === null ? `no job before this one uploads ${quote(name)}` : `${job} does not upload ${quote(name)}`;
  report.add(words.node, message, suggest(name, uploads));
}

function uploadsOf({ value }: Entry<JobWords>): string[] {
  return (value?.artifacts?.upload ?? []).flatMap(({ name }) => (name === undefined ? [] : [name.value]));
}

/** What a job keeps and gets, from words without problems. */
export function toArtifacts(words: ArtifactsWords | undefined): Artifacts<Text> {
  const upload = (words?.upload ?? []).map(({ name, paths = [], retention = null }) => {
    return { name: name?.value ?? "", paths, retention_ms: retention };
  });
  return { upload, download: (words?.download ?? []).map(({ value }) => splitDownload(value)) };
}
