import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  DeliveryState,
  Forge,
  type Delivery,
  type Trigger,
} from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WebhookSchema } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { until, type World } from "./world.ts";

/** A project with a repository that holds `build.yaml`. */
export type Repository = { directory: string; url: string; commit: string };

export const pipelineText = `
inputs:
  who: { default: nobody }
jobs:
  build: { run: echo "$AGYN_INPUT_WHO" }
`;

/** Makes the repository acme/web with one commit, and the project web of it. */
export async function createWeb(world: World, text = pipelineText): Promise<Repository> {
  const directory = join(world.directory, "acme", "web");
  mkdirSync(directory, { recursive: true });
  const git = (...words: string[]) =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.org", ...words], {
      cwd: directory,
    }).toString();
  git("init", "--quiet", "--initial-branch=main");
  writeFileSync(join(directory, "build.yaml"), text);
  git("add", ".");
  git("commit", "--quiet", "-m", "first");
  const url = `file://${directory}`;
  await world.admin.projects.createProject({ name: "web", sourceUrl: url });
  return { directory, url, commit: git("rev-parse", "HEAD").trim() };
}

export type Made = { trigger: Trigger; secret: string };

/** A webhook of the project web. */
export async function createWebhook(
  world: World,
  webhook: MessageInitShape<typeof WebhookSchema> = {},
  inputs: Record<string, string> = {},
): Promise<Made> {
  const made = await world.admin.triggers.createTrigger({
    project: "web",
    name: "hook",
    config: { pipeline: "build.yaml", inputs, kind: { case: "webhook", value: { forge: Forge.FORGEJO, ...webhook } } },
  });
  return { trigger: made.trigger!, secret: made.secret };
}

/** What Forgejo sends of a push. */
export function pushOf(commit: string, changes: Record<string, unknown> = {}): string {
  return JSON.stringify({
    ref: "refs/heads/main",
    before: "1".repeat(40),
    after: commit,
    commits: [{ id: commit, message: "one", author: { name: "root", username: "root" }, modified: ["src/a.ts"] }],
    total_commits: 1,
    pusher: { login: "mia" },
    sender: { login: "mia" },
    repository: { full_name: "acme/web", clone_url: "https://forge.example/acme/web.git" },
    ...changes,
  });
}

export function hmac(secret: string, body: string | Uint8Array): string {
  return createHmac("sha256", secret).update(body).digest("hex");
}

let sent = 0;

/** The headers that Forgejo sends with a body. */
export function forgejoHeaders(secret: string, body: string | Uint8Array, event = "push"): Record<string, string> {
  sent += 1;
  return {
    "content-type": "application/json",
    "x-forgejo-event": event,
    "x-forgejo-delivery": `delivery-${process.pid}-${sent}`,
    "x-forgejo-signature": hmac(secret, body),
  };
}

/** Posts to a trigger's hook. */
export async function post(
  world: World,
  trigger: Trigger,
  { headers, body }: { headers: NonNullable<RequestInit["headers"]>; body: string | Uint8Array<ArrayBuffer> },
): Promise<{ status: number; answer: Record<string, string> }> {
  const response = await fetch(`${world.server.gateway}${trigger.hookPath}`, { method: "POST", headers, body });
  return { status: response.status, answer: (await response.json()) as Record<string, string> };
}

/** Waits until a trigger's newest delivery is settled. */
export function untilSettled(world: World, trigger: Trigger, count = 1): Promise<Delivery[]> {
  return until(`${count} deliveries are settled`, async () => {
    const { deliveries } = await world.admin.triggers.listDeliveries({ trigger: trigger.id });
    return deliveries.length >= count && deliveries.every((one) => one.state !== DeliveryState.WAITING) && deliveries;
  });
}
