import type { ServiceImpl } from "@connectrpc/connect";
import {
  StartTriggerRunRequestSchema,
  type TriggersService,
} from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { notFound } from "../domain/errors.ts";
import type { StartDeps } from "../runs/start-run.ts";
import { getProject } from "../store/projects.ts";
import { sourceKey, triggerTokenOf } from "./context.ts";
import { hashRequest } from "./request-hash.ts";
import { toRunProto } from "./run-proto.ts";
import { startKeyedRun } from "./start-keyed-run.ts";

/** The part of the service that trigger tokens are for: a run of their project. */
export function createTriggerRun(deps: StartDeps): Pick<ServiceImpl<typeof TriggersService>, "startTriggerRun"> {
  return {
    async startTriggerRun(request, context) {
      const { tokenId, organizationId, projectId } = triggerTokenOf(context);
      const project = await getProject(deps.sql, projectId);
      if (!project) throw notFound("project", projectId);
      const { pipeline, ref, inputs, labels, name, priority, idempotencyKey: key } = request;
      const method = `StartTriggerRun/${project.id}`;
      const requestHash = hashRequest(StartTriggerRunRequestSchema, request);
      const run = await startKeyedRun(deps, {
        request: {
          organizationId,
          project,
          pipeline,
          ref,
          inputs,
          labels,
          name,
          priority,
          content: new Uint8Array(),
          bundleDigest: "",
          event: null,
          cause: { kind: "token", userId: "", triggerId: tokenId, deliveryId: "", event: "" },
        },
        claim: key === "" ? undefined : { organizationId, method, key, requestHash },
        eventOf: ({ id, number }) => ({
          scope: { kind: "organization", organizationId },
          actor: tokenId,
          action: "run.start",
          objectId: id,
          objectName: String(number),
          source: context.values.get(sourceKey),
          outcome: "ok",
        }),
      });
      return { run: toRunProto(run) };
    },
  };
}
