import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  TestTriggerRequest,
  TestTriggerResponseSchema,
} from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { createId } from "../../../wire/ids.ts";
import { AgynError, notFound } from "../domain/errors.ts";
import { insertDelivery, postponeDelivery, settleDelivery } from "../store/deliveries.ts";
import { getProject } from "../store/projects.ts";
import type { TriggerRow } from "../store/triggers.ts";
import { startRun } from "../runs/start-run.ts";
import type { Check } from "../triggers/check-event.ts";
import { judgeDelivery, type Came } from "../triggers/judge-delivery.ts";
import { openSecret } from "../triggers/trigger-secret.ts";
import { verifyWebhook, webhookEvent, type WebhookRequest } from "../triggers/webhook-request.ts";
import { startEvent, toRunRequest, type WorkDeps } from "../triggers/work-delivery.ts";
import { toRunProto } from "./run-proto.ts";

/** For so long nobody else works the delivery of a test that starts. */
const startLease_ms = 120_000;

/** What a payload would do; with `start` it does it, whatever is live. */
export async function testTrigger(
  deps: WorkDeps,
  trigger: TriggerRow,
  request: TestTriggerRequest,
): Promise<MessageInitShape<typeof TestTriggerResponseSchema>> {
  const project = await getProject(deps.sql, trigger.projectId);
  if (!project) throw notFound("project", trigger.projectId);
  const { came, check } = read(deps, trigger, request);
  const judgement = judgeDelivery(trigger, project.sourceUrl, came);
  const checks = [...(check ? [check] : []), ...judgement.checks];
  const answer = { checks, eventJson: JSON.stringify(judgement.event) };
  if (check?.ok === false) return { ...answer, starts: false, reason: `${check.rule}: ${check.detail}` };
  if (!("judged" in judgement)) return { ...answer, starts: false, reason: judgement.reason };
  const { inputs, ref, commit, capabilities } = judgement.judged;
  const whole = { ...answer, starts: true, inputs, ref, commit, capabilities: [...capabilities] };
  if (!request.start) return whole;
  const delivery = await insertDelivery(deps.sql, {
    id: createId("delivery"),
    triggerId: trigger.id,
    senderId: "test",
    event: judgement.judged.eventName,
    payload: "payload" in came ? came.payload : null,
    slot: "slot" in came ? came.slot : null,
    state: "waiting",
    reason: "",
    runId: createId("run"),
    redeliveryOf: "",
  });
  await postponeDelivery(deps.sql, delivery!, { reason: "", wait_ms: startLease_ms, counts: true });
  try {
    const asked = toRunRequest(trigger, project, { judged: judgement.judged, deliveryId: delivery!.id });
    const { runId, id: deliveryId } = delivery!;
    const run = await startRun(deps, asked, runId, (started) => startEvent(trigger, started, deliveryId));
    await settleDelivery(deps.sql, delivery!, { state: "started", reason: "" });
    return { ...whole, run: toRunProto(run) };
  } catch (error) {
    const reason = error instanceof AgynError ? error.message : "something went wrong in the server";
    await settleDelivery(deps.sql, delivery!, { state: "failed", reason });
    throw error;
  }
}

/** A payload without a signature is taken as if it had a good one: who asks may manage the trigger. */
function read(
  { masterKey }: WorkDeps,
  trigger: TriggerRow,
  { payload, headers }: TestTriggerRequest,
): { came: Came; check?: Check } {
  const { source } = trigger.config;
  if (source.kind === "schedule") return { came: { slot: new Date() } };
  const { forge } = source;
  const given: WebhookRequest = {
    headers: Object.entries({ "content-type": "application/json", ...headers }),
    body: payload,
  };
  const came = { payload, event: webhookEvent(given, forge) };
  if (!Object.keys(headers).some((name) => /signature|gitlab-token/.test(name))) return { came };
  const outcome = verifyWebhook(given, { forge, secret: openSecret(trigger, masterKey), now_ms: Date.now() });
  if ("verified" in outcome) {
    const { payloadBytes, event } = outcome.verified;
    return { came: { payload: payloadBytes, event }, check: { rule: "signature", ok: true, detail: "it is good" } };
  }
  const { rule, reason } = outcome.refused;
  return { came, check: { rule, ok: false, detail: reason } };
}
