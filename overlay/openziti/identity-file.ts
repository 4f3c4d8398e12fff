import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { messageOf } from "../errors.ts";
import type { Credential } from "./credential.ts";

/** An identity of a network, as the tools of OpenZiti write it to a file when it has enrolled. */
export interface IdentityFile extends Pick<Credential, "keyPem" | "certPem"> {
  /** `https://host:port` of the controller, perhaps with a path behind it. */
  readonly controller: string;
  /** The network's authorities, where the file names them. */
  readonly caPem: string | undefined;
}

/** Largest file that is read, in bytes. */
const maxFile_bytes = 1024 * 1024;

const fileSchema = z.looseObject({
  ztAPI: z.string().min(1),
  id: z.looseObject({ key: z.string().min(1), cert: z.string().min(1), ca: z.string().optional() }),
});

/** Reads an identity file, and the files that it names. Throws an error that says what of it cannot be used. */
export function readIdentityFile(path: string): IdentityFile {
  const parsed = fileSchema.safeParse(parseJson(path));
  if (!parsed.success)
    throw new Error(`${path} is no identity file: ${parsed.error.issues[0]?.path.join(".")} is missing`);
  const { ztAPI: controller, id } = parsed.data;
  const material = (value: string) => readMaterial(value, dirname(resolve(path)));
  return {
    controller,
    keyPem: material(id.key),
    certPem: material(id.cert),
    caPem: id.ca === undefined ? undefined : material(id.ca),
  };
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
