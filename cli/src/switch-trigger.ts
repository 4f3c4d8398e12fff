import type { Trigger } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import type { Option } from "./command-shape.ts";
import type { Output } from "./output.ts";
import { required } from "./required.ts";
import { parseInteger } from "./requirements.ts";
import { switchedText, triggerView } from "./views/trigger.ts";

/** Which version of a trigger is switched; `otherwise`: which where none is named. */
export function versionOption(otherwise: string) {
  return {
    kind: "parsed",
    placeholder: "n",
    parse: parseInteger("version", 1, 2_147_483_647),
    help: `which version (default: ${otherwise})`,
  } as const satisfies Option;
}

/** Shows a trigger that was switched. */
export async function showSwitched(output: Output, { trigger }: { trigger?: Trigger | undefined }): Promise<undefined> {
  const changed = required(trigger, "trigger");
  await output.done(triggerView, changed, switchedText(changed));
  return undefined;
}
