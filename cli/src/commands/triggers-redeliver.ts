import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { deliveryView } from "../views/trigger.ts";

export const triggersRedeliver = defineCommand({
  path: ["triggers", "redeliver"],
  summary: "Works a delivery again, by the trigger's configuration of now",
  arguments: {
    trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" },
    delivery: { kind: "required", help: "the delivery's whole id" },
  },
  options: {},
  examples: ["agynctl triggers redeliver web/forgejo dlv_k3q6aaaaaaaaaaaa"],
  async run({ controlPlane, organization, output }, { trigger, delivery }, _options) {
    const { triggers } = await controlPlane();
    const answer = await triggers.redeliverDelivery({ trigger, organization, deliveryId: delivery });
    const made = required(answer.delivery, "delivery");
    await output.done(deliveryView, made, `delivery ${made.id} repeats ${made.redeliveryOf}`);
    return undefined;
  },
});
