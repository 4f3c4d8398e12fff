import { readSidecarEndpoint, type SidecarEndpoint } from "../../overlay/sidecar.ts";
import { readOverlays } from "./network-settings.ts";
import { ConfigError } from "./setting-values.ts";
import type { SettingName } from "./settings.ts";

/** Where the tunnelers are: beside this server, and beside each runner. */
export type SidecarPlaces = {
  /** Where the one here hands connections on. */
  listen: SidecarEndpoint;
  /** Where the others take connections, as runners are told. */
  address: SidecarEndpoint;
};

/** The tunnelers that the settings name; `undefined` where they are not among the overlays. */
export function readSidecarPlaces(text: (name: SettingName) => string | undefined): SidecarPlaces | undefined {
  const names = ["sidecar_listen", "sidecar_address"] as const;
  if (!readOverlays(text("overlay")!).includes("sidecar")) {
    const idle = names.find((name) => text(name) !== undefined);
    if (idle !== undefined) throw new ConfigError(`${idle}: means nothing unless overlay names sidecar`);
    return undefined;
  }
  const [listen, address] = names.map((name) => readEndpoint(name, text(name)));
  return { listen: listen!, address: address! };
}

function readEndpoint(name: SettingName, text: string | undefined): SidecarEndpoint {
  if (text === undefined) throw new ConfigError(`${name}: needed where overlay names sidecar`);
  try {
    readSidecarEndpoint(text);
    return text;
  } catch (error) {
    throw new ConfigError(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
