import { defineCommand } from "../command.ts";
import { overlayStatusView } from "../views/overlay.ts";

export const overlayStatus = defineCommand({
  path: ["overlay", "status"],
  summary: "Shows how runners reach the control plane, and what differs in its OpenZiti network",
  arguments: {},
  options: {},
  examples: ["agynctl overlay status", "agynctl overlay status -o json"],
  async run({ controlPlane, output }) {
    const { overlay } = await controlPlane();
    await output.get(overlayStatusView, await overlay.getOverlayStatus({}));
    return undefined;
  },
});
