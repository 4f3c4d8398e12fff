import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { messageOf } from "../errors.ts";
import type { Credential } from "./credential.ts";

/** An identity of a network, as the tools of OpenZiti write it to a file when it has enrolled. */
export interface IdentityFile extends Pick<Credential, "keyPem" | "certPem"> {
  /** `https://host:port` of the controller, then of the network's others; perhaps with a path behind it. */
  readonly controllers: readonly [string, ...string[]];
  /** The network's authorities, where the file names them. */
  readonly caPem: string | undefined;
}

/** Largest file that is read, in bytes. */
const maxFile_bytes = 1024 * 1024;
/** Most controllers that are read of one. */
const maxControllers = 64;

const controllerUrl = z.url({ protocol: /^https$/ });
const fileSchema = z.looseObject({
  ztAPI: controllerUrl,
  ztAPIs: z.array(controllerUrl).max(maxControllers).nullish(),
  id: z.looseObject({ key: z.string().min(1), cert: z.string().min(1), ca: z.string().optional() }),
});

/** Reads an identity file, and the files that it names. Throws an error that says what of it cannot be used. */
export function readIdentityFile(path: string): IdentityFile {
  const parsed = fileSchema.safeParse(parseJson(path));
  if (!parsed.success) throw new Error(`${path} is no identity file: ${faultOf(parsed.error)}`);
  const { ztAPI, ztAPIs, id } = parsed.data;
  const material = (value: string) => readMaterial(value, dirname(resolve(path)));
  return {
    controllers: [ztAPI, ...(ztAPIs ?? []).filter((other) => originOf(other) !== originOf(ztAPI))],
    keyPem: material(id.key),
    certPem: material(id.cert),
    caPem: id.ca === undefined ? undefined : material(id.ca),
  };
}

function faultOf({ issues: [issue] }: z.ZodError): string {
  const field = issue?.path.join(".");
  if (issue?.code === "invalid_format") return `${field} is not an https:// URL`;
  return issue?.code === "too_big" ? `${field} are more than ${maxControllers}` : `${field} is missing`;
}

/** Tools write the same controller with and without a path behind it. */
function originOf(url: string): string {
  return new URL(url).origin;
}

/** PEM text, with or without `pem:` before it, or the file of a `file://` URL. */
function readMaterial(value: string, directory: string): string {
  if (value.startsWith("file://")) {
    const path = value.startsWith("file:///") ? fileURLToPath(value) : resolve(directory, value.slice(7));
    const text = readText(path);
    if (!text.includes("-----BEGIN ")) throw new Error(`${path} is not PEM`);
    return text;
  }
  const pem = value.replace(/^pem:/, "");
  if (!pem.includes("-----BEGIN ")) throw new Error("keys and certificates must be PEM texts or file:// URLs");
  return pem;
}

function parseJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${path} is not JSON; it is what enrolling an identity of OpenZiti writes`);
  }
}

function readText(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  if (text.length > maxFile_bytes) throw new Error(`${path} is larger than ${maxFile_bytes} bytes`);
  return text;
}
