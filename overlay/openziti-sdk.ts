import { createRequire } from "node:module";
import type net from "node:net";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { messageOf, OverlayError } from "./errors.ts";

/** What OpenZiti publishes for Node. Its install script downloads a binary, so whoever wants it installs it. */
export const openZitiSdkPackage = "@openziti/ziti-sdk-nodejs";

/** The part of that package which a dial needs. It has one login for the whole process. */
export interface OpenZitiSdk {
  /** Logs in with an identity file, and settles once it knows the services: never, where the controller is away. */
  init(identityFile: string): Promise<unknown>;
  /** Calls back once, if at all: with an error, or with one end of a pair of sockets. */
  connect(
    to: { readonly service: string; readonly identity?: string },
    done: (error: Error | undefined, socket?: net.Socket) => void,
  ): void;
  /** Logs out, which ends all that goes through the login. */
  ziti_shutdown(): void;
}

const needed = ["init", "connect", "ziti_shutdown"] as const satisfies readonly (keyof OpenZitiSdk)[];
const advice = `install it where agyn is (npm install ${openZitiSdkPackage}@alpha, 0.27 or newer), or give the directory that it is in`;

/** Loads the SDK: a package's name, or the path of its directory or file. Rejects with an `OverlayError` that says what to do. */
export async function loadOpenZitiSdk(module: string = openZitiSdkPackage): Promise<OpenZitiSdk> {
  const path = pathOf(module);
  let loaded: unknown;
  try {
    const namespace = (await import(pathToFileURL(path).href)) as { readonly default?: unknown };
    loaded = namespace.default ?? namespace;
  } catch (error) {
    // What comes after the first line is which file asked for which.
    const why = messageOf(error).split("\n", 1)[0];
    throw new OverlayError("not_installed", `${module} cannot be loaded: ${why}; ${advice}`);
  }

  const missing = needed.filter((name) => typeof (loaded as Partial<OpenZitiSdk>)[name] !== "function");
  if (missing.length === 0) return loaded as OpenZitiSdk;
  throw new OverlayError("not_installed", `${module} has no function ${missing.join(", ")}: it is too old; ${advice}`);
}

function pathOf(module: string): string {
  try {
    return createRequire(import.meta.url).resolve(/^\.{0,2}\//.test(module) ? resolve(module) : module);
  } catch {
    throw new OverlayError("not_installed", `${module} is not installed: ${advice}`);
  }
}

/** What the SDK failed with, by the only thing that it says of it: words. */
export function readSdkError(error: unknown, what: string): OverlayError {
  const words = messageOf(error);
  const isRefusal = /authori[sz]|authenticat|posture|access/i.test(words);
  return new OverlayError(isRefusal ? "unauthorized" : "unreachable", `${what}: ${words}`, { cause: error });
}
