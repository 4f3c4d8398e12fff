import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { readIdentityFile } from "../../overlay/openziti/identity-file.ts";
import type { Administrator } from "../../overlay/openziti/management.ts";
import type { IdentityEnrollment } from "./domain/overlay-plan.ts";
import { ConfigError, parseDuration, unknown } from "./setting-values.ts";
import { settings, type SettingName } from "./settings.ts";

/** The names of the setting `overlays`. */
export const overlayNames = ["mtls", "openziti", "sidecar"] as const;

/** A way by which runners reach the runner plane. */
export type OverlayName = (typeof overlayNames)[number];

/** Where an OpenZiti network is, and who manages what is ours in it. */
export type NetworkPlace = {
  /** `https://host:port` */
  controllerUrl: string;
  /** Those of the network's other controllers, for when that one is away. */
  otherControllerUrls: readonly string[];
  caPem: string;
  administrator: Administrator;
  identityEnrollment: IdentityEnrollment;
  routerRoles: readonly string[];
  /** What the names of our services begin with; often nothing. */
  servicePrefix: string;
  repairPeriod_ms: number;
};

type Text = (name: SettingName) => string | undefined;

const ownSettings = [
  "ziti_controller",
  "ziti_ca_file",
  "ziti_admin_identity",
  "ziti_admin_username",
  "ziti_admin_password_file",
] as const;

/** The overlays of a list such as `mtls,openziti`. */
export function readOverlays(text: string): readonly OverlayName[] {
  const names = text.split(",").map((name) => name.trim());
  for (const name of names)
    if (!overlayNames.some((known) => known === name)) throw unknown(`overlay: "${name}"`, name, [...overlayNames]);
  return [...new Set(names as OverlayName[])];
}

/** The network that the settings name; `undefined` where OpenZiti is not among the overlays. Reads the files that they name. */
export function readNetworkPlace(text: Text): NetworkPlace | undefined {
  if (!readOverlays(text("overlay")!).includes("openziti")) {
    const idle = ownSettings.find((name) => text(name) !== undefined);
    if (idle !== undefined) throw new ConfigError(`${idle}: means nothing unless overlay names openziti`);
    return undefined;
  }
  const identity = readIdentity(text);
  const [controllerUrl, ...otherControllerUrls] = readControllers(
    text("ziti_controller")?.split(",") ?? identity?.controllers,
  );
  const caFile = text("ziti_ca_file");
  const caPem = caFile === undefined ? identity?.caPem : readPem("ziti_ca_file", resolve(caFile));
  if (caPem === undefined)
    throw new ConfigError(
      "ziti_ca_file: needed, because nothing else says by which authorities the controller is known",
    );
  return {
    controllerUrl,
    otherControllerUrls,
    caPem,
    administrator: identity?.administrator ?? readPasswordAdministrator(text),
    identityEnrollment: readEnrollment(text("ziti_identity_enrollment")!),
    routerRoles: readRoles(text("ziti_router_roles")!),
    servicePrefix: readPrefix(text("ziti_service_prefix")!),
    repairPeriod_ms: parseDuration(
      "ziti_repair_period",
      text("ziti_repair_period")!,
      settings.ziti_repair_period.range,
    ),
  };
}

function readEnrollment(text: string): IdentityEnrollment {
  if (text === "ca" || text === "ott") return text;
  throw unknown(`ziti_identity_enrollment: "${text}"`, text, ["ca", "ott"]);
}

function readControllers(urls: readonly string[] | undefined): readonly [string, ...string[]] {
  if (urls === undefined) throw new ConfigError("ziti_controller: needed where overlay names openziti");
  const [first, ...others] = new Set(urls.map((one) => readController(one.trim())));
  return [first!, ...others];
}

function readController(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol === "https:" && url.username === "" && url.password === "") return url.origin;
  throw new ConfigError(`ziti_controller: "${text}" is not a URL such as https://ctrl.example.com:1280`);
}

function readIdentity(text: Text) {
  const path = text("ziti_admin_identity");
  if (path === undefined) return undefined;
  if (text("ziti_admin_username") !== undefined)
    throw new ConfigError("ziti_admin_username: give it or ziti_admin_identity, not both");
  try {
    const { controllers, keyPem, certPem, caPem } = readIdentityFile(path);
    return { controllers, administrator: { kind: "certificate", keyPem, certPem } as const, caPem };
  } catch (error) {
    throw new ConfigError(`ziti_admin_identity: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function readPasswordAdministrator(text: Text): Administrator {
  const [username, file] = [text("ziti_admin_username"), text("ziti_admin_password_file")];
  if (username === undefined || file === undefined) {
    throw new ConfigError(
      "ziti_admin_identity: an administrator of the OpenZiti network is needed: by this file, or by ziti_admin_username and ziti_admin_password_file",
    );
  }
  return { kind: "password", username, password: readText("ziti_admin_password_file", resolve(file)).trimEnd() };
}

function readRoles(text: string): readonly string[] {
  const roles = text.split(",").map((role) => role.trim());
  const wrong = roles.find((role) => !/^[#@].+$/.test(role));
  if (wrong !== undefined)
    throw new ConfigError(`ziti_router_roles: "${wrong}" is no role: #attribute, @id, or #all by itself`);
  if (roles.includes("#all") && roles.length > 1) throw new ConfigError("ziti_router_roles: #all stands by itself");
  return roles;
}

function readPrefix(text: string): string {
  if (/^[a-zA-Z0-9._-]{0,64}$/.test(text)) return text;
  throw new ConfigError(
    `ziti_service_prefix: "${text}" is not made of up to 64 letters, digits, dots, dashes and underscores`,
  );
}

function readPem(name: SettingName, path: string): string {
  const text = readText(name, path);
  if (!text.includes("-----BEGIN ")) throw new ConfigError(`${name}: ${path} is not PEM`);
  return text;
}

function readText(name: SettingName, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`${name}: ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
