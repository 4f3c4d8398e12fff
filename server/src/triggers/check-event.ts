/* Which of a trigger's rules let an event pass: deciding and explaining are one (I8). */
import { matchesPatterns } from "../domain/glob.ts";
import type { ForgeEvent } from "./forge-event.ts";
import { defaultEvents, type WebhookConfig } from "../domain/trigger-config.ts";

/** One rule, and what came of it. */
export type Check = { rule: string; ok: boolean; detail: string };

const refLimit_bytes = 255;
/** Git refuses refs with these itself. */
// oxlint-disable-next-line no-control-regex
const refBreakers = /[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|\/$|\.lock(\/|$)/;
const agentPrefix = "agent:";

/** Every rule that the trigger sets, in the order in which they are looked at. */
export function checkEvent(config: WebhookConfig, event: ForgeEvent, sourceUrl: string): Check[] {
  const checks: (Check | undefined)[] = [
    checkRepository(event, sourceUrl),
    oneOf(
      "events",
      config.events.length > 0 ? config.events : defaultEvents(config.forge, config.agentLabels),
      event.event,
    ),
    oneOf("actions", config.actions, event.action),
    checkRef(event),
    checkCommit(event),
    checkFork(config, event),
    checkBranch(config, event),
    checkTag(config, event),
    checkPaths(config, event),
    checkAuthor(config, event),
    checkLabels(config, event),
    config.agentLabels ? checkAgent(event) : undefined,
  ];
  return checks.filter((one) => one !== undefined);
}

/** Capabilities that an issue's `agent:` labels ask for. */
export function agentCapabilities(event: ForgeEvent): string[] {
  const labels = event.labels.filter((one) => one.startsWith(agentPrefix));
  return [...new Set(labels.map((one) => one.slice(agentPrefix.length)).filter((one) => one !== ""))];
}

/** A secret that serves several repositories starts nothing for another one, and what a forge says of none is of no project. */
function checkRepository({ forge, repository }: ForgeEvent, sourceUrl: string): Check | undefined {
  if (forge === "generic") return undefined;
  const { full_name: fullName } = repository;
  if (fullName === "") return { rule: "repository", ok: false, detail: "the payload names none" };
  const path = sourceUrl
    .replace(/\/+$/, "")
    .replace(/\.git$/, "")
    .toLowerCase();
  const ok = path.endsWith(`/${fullName.toLowerCase()}`);
  return { rule: "repository", ok, detail: ok ? fullName : `${fullName} is not the project's source` };
}

function oneOf(rule: string, wanted: readonly string[] | undefined, value: string): Check | undefined {
  if (!wanted || wanted.length === 0) return undefined;
  const ok = wanted.includes(value);
  return { rule, ok, detail: ok ? value : `"${value}" is not ${wanted.join(" or ")}` };
}

/** A ref that git itself would refuse is forged. */
function checkRef({ ref, branch }: ForgeEvent): Check | undefined {
  if (ref === "" && branch === "") return undefined;
  const broken = [ref, branch].some((one) => refBreakers.test(one) || Buffer.byteLength(one) > refLimit_bytes);
  return { rule: "ref", ok: !broken, detail: broken ? "no branch or tag can be named so" : ref || branch };
}

const eventsOfCommits = ["push", "tag", "pull_request"];

/** What is told of a commit runs at that one, and not at another in its place. */
function checkCommit({ forge, event, commit }: ForgeEvent): Check | undefined {
  if (forge === "generic" || commit !== "" || !eventsOfCommits.includes(event)) return undefined;
  return { rule: "commit", ok: false, detail: "the payload names none" };
}

function checkFork({ forks }: WebhookConfig, { pull_request: pull }: ForgeEvent): Check | undefined {
  if (!pull?.from_fork) return undefined;
  const ok = forks === "without_secrets";
  const detail = ok ? "a fork's pull request runs without secrets" : "a fork's pull request starts nothing";
  return { rule: "forks", ok, detail };
}

function checkBranch({ branches, tags }: WebhookConfig, { branch, tag, event }: ForgeEvent): Check | undefined {
  if (branches.length === 0) {
    // Tags alone were asked for.
    return tags.length > 0 && event === "push"
      ? { rule: "branches", ok: false, detail: "only tags start it" }
      : undefined;
  }
  if (tag !== "" && tags.length > 0) return undefined;
  return fits("branches", branches, branch);
}

function checkTag({ branches, tags }: WebhookConfig, { tag }: ForgeEvent): Check | undefined {
  if (tags.length === 0 || (tag === "" && branches.length > 0)) return undefined;
  return fits("tags", tags, tag);
}

function fits(rule: string, patterns: readonly string[], value: string): Check {
  const ok = value !== "" && matchesPatterns(patterns, value);
  return { rule, ok, detail: ok ? value : `"${value}" does not fit ${patterns.join(", ")}` };
}

function checkPaths({ paths: patterns }: WebhookConfig, { paths, are_paths_whole }: ForgeEvent): Check | undefined {
  if (patterns.length === 0) return undefined;
  const found = paths.find((one) => matchesPatterns(patterns, one));
  if (found !== undefined) return { rule: "paths", ok: true, detail: found };
  if (!are_paths_whole) return { rule: "paths", ok: true, detail: "the forge did not name all files" };
  return { rule: "paths", ok: false, detail: `none of ${paths.length} files fits ${patterns.join(", ")}` };
}

/** Names of users do not differ by case on any of the forges. */
function checkAuthor({ authors }: WebhookConfig, { author }: ForgeEvent): Check | undefined {
  if (authors.length === 0) return undefined;
  const ok = author !== "" && authors.some((one) => one.toLowerCase() === author.toLowerCase());
  return { rule: "authors", ok, detail: ok ? author : `"${author}" is not ${authors.join(" or ")}` };
}

function checkLabels({ labels: wanted }: WebhookConfig, { labels }: ForgeEvent): Check | undefined {
  if (wanted.length === 0) return undefined;
  const found = wanted.find((one) => labels.includes(one));
  const detail = found ?? `none of ${wanted.join(", ")} is among "${labels.join(", ")}"`;
  return { rule: "labels", ok: found !== undefined, detail };
}

const agentActions = ["opened", "labeled", "reopened"];

function checkAgent(event: ForgeEvent): Check {
  const capabilities = agentCapabilities(event);
  if (!agentActions.includes(event.action)) {
    return { rule: "agent_labels", ok: false, detail: `"${event.action}" is not ${agentActions.join(" or ")}` };
  }
  const ok = capabilities.length > 0;
  return { rule: "agent_labels", ok, detail: ok ? capabilities.join(", ") : `no label begins with ${agentPrefix}` };
}
