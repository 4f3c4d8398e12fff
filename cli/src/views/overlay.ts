import {
  GetOverlayStatusResponseSchema,
  OverlayCheckSchema,
  OverlayDifferenceSchema,
  type GetOverlayStatusResponse,
  type OverlayCheck,
  type OverlayEntity,
} from "../../../proto/gen/agyn/overlay/v1/overlay_service_pb.ts";
import { enumWord, instant, messageJson, type View } from "../view.ts";

export const overlayStatusView: View<GetOverlayStatusResponse> = {
  noun: "overlays",
  id: ({ overlays }) => overlays.join(","),
  toJson: messageJson(GetOverlayStatusResponseSchema),
  columns: [{ header: "OVERLAYS", value: ({ overlays }) => overlays.join(", ") }],
  details({ overlays, openziti }) {
    const own = [["overlays", overlays.join(", ")]] as const;
    if (openziti === undefined) return own;
    const answers = openziti.controllerVersion !== "";
    const differing = openziti.differingEntities;
    return [
      ...own,
      ["controller", openziti.controllerUrl],
      ["version", openziti.controllerVersion],
      ["error", openziti.error],
      ["last repaired", instant(openziti.repairTime)],
      ["routers", openziti.routers.map(({ name, online }) => `${name} ${online ? "online" : "offline"}`).join(", ")],
      ["bootstrap role", openziti.bootstrapRole],
      ["hosts of the runner plane", answers ? String(openziti.hostCount) : ""],
      ["kept there", answers ? `${openziti.entityCount}, of which ${differing.length} differ` : ""],
      ...differing.map((entity) => [`differs`, differenceText(entity)] as const),
    ];
  },
};

export const overlayCheckView: View<OverlayCheck> = {
  noun: "checks",
  id: ({ name }) => name,
  toJson: messageJson(OverlayCheckSchema),
  columns: [
    { header: "CHECK", value: ({ name }) => name },
    {
      header: "RESULT",
      value: ({ passed }) => (passed ? "passed" : "failed"),
      tone: ({ passed }) => (passed ? "good" : "bad"),
    },
    { header: "FOUND", value: ({ message }) => message },
  ],
  details: ({ name, message }) => [[name, message]],
};

function differenceText({ kind, name, difference, fields }: OverlayEntity): string {
  const what = enumWord(OverlayDifferenceSchema, difference);
  return `${kind} ${name}: ${what}${fields.length > 0 ? ` (${fields.join(", ")})` : ""}`;
}
