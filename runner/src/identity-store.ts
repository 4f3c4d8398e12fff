/** The runner's identity, what a network knows it by, and the number of its last session: one file each, 0600, replaced atomically. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { removeFileDurably, writeFileDurably } from "./atomic-file.ts";

/** A key that was made and for which a certificate was, or will be, asked. The same request again gets the same answer. */
const pendingKeySchema = z.strictObject({ keyPem: z.string(), csrBase64: z.string() });

/** A way to the runner plane. */
const endpointSchema = z.discriminatedUnion("kind", [
  /** "host:port" */
  z.strictObject({ kind: z.literal("mtls"), address: z.string() }),
  z.strictObject({
    kind: z.literal("openziti"),
    controllerUrl: z.string(),
    /** For when that one is away. */
    otherControllerUrls: z.array(z.string()).default([]),
    controllerCaPem: z.string(),
    service: z.string(),
    /** Whether the network wants a certificate of its own, and not the identity's. */
    networkCertificate: z.boolean().default(false),
  }),
  /** "host:port" or "unix:/path" */
  z.strictObject({ kind: z.literal("sidecar"), address: z.string() }),
]);

const identitySchema = z.strictObject({
  identityId: z.string(),
  generation: z.string(),
  trustDomain: z.string(),
  uri: z.string(),
  keyPem: z.string(),
  chainPem: z.string(),
  rootPem: z.string(),
  expireTimeMs: z.number(),
  renewTimeMs: z.number(),
  /** Where the runner plane is, best first. */
  endpoints: z.array(endpointSchema),
});

const fileSchema = z.strictObject({
  version: z.literal(1),
  runnerId: z.string(),
  identity: identitySchema.optional(),
  pendingKey: pendingKeySchema.optional(),
});

/** A certificate by a network, got by proof of an identity and of no use with another one. */
const networkCredentialSchema = z.strictObject({
  identityId: z.string(),
  controllerUrl: z.string(),
  keyPem: z.string(),
  certPem: z.string(),
});

export type RunnerEndpoint = z.infer<typeof endpointSchema>;
/** One that leads through an OpenZiti network. */
export type NetworkEndpoint = Extract<RunnerEndpoint, { kind: "openziti" }>;
export type PendingKey = z.infer<typeof pendingKeySchema>;
export type StoredIdentity = z.infer<typeof identitySchema>;
export type NetworkCredential = z.infer<typeof networkCredentialSchema>;
/** `runnerId` says whose the rest is. */
export type IdentityFile = z.infer<typeof fileSchema>;

/** Keeps an identity; each write is durable when it returns. */
export type IdentityStore = {
  load(): IdentityFile | undefined;
  save(file: IdentityFile): void;
  /** Forgets identity, pending key, network credential and session number. */
  discard(): void;
  /** One that cannot be read is none: it can be got anew. */
  loadNetworkCredential(): NetworkCredential | undefined;
  saveNetworkCredential(credential: NetworkCredential): void;
  forgetNetworkCredential(): void;
  loadSessionNumber(): bigint;
  saveSessionNumber(number: bigint): void;
};

/** Keeps it in a directory, which only its owner may enter. */
export function openIdentityDirectory(directory: string): IdentityStore {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const identityPath = join(directory, "identity.json");
  const numberPath = join(directory, "session-number");
  const networkPath = join(directory, "network.json");
  return {
    load() {
      const text = readIfThere(identityPath);
      return text === undefined ? undefined : parseFile(text, identityPath);
    },
    save(file) {
      writeFileDurably(identityPath, `${JSON.stringify(file, undefined, 2)}\n`);
    },
    discard() {
      for (const path of [identityPath, networkPath, numberPath]) removeFileDurably(path);
    },
    loadNetworkCredential() {
      const parsed = networkCredentialSchema.safeParse(tryJson(readIfThere(networkPath) ?? ""));
      return parsed.success ? parsed.data : undefined;
    },
    saveNetworkCredential(credential) {
      writeFileDurably(networkPath, `${JSON.stringify(credential, undefined, 2)}\n`);
    },
    forgetNetworkCredential() {
      removeFileDurably(networkPath);
    },
    loadSessionNumber() {
      const text = readIfThere(numberPath)?.trim() ?? "0";
      if (!/^\d{1,18}$/.test(text)) throw new Error(`${numberPath} does not hold a session number`);
      return BigInt(text);
    },
    saveSessionNumber(number) {
      writeFileDurably(numberPath, `${number}\n`);
    },
  };
}

/** Keeps it as long as the process lives. */
export function createIdentityMemory(): IdentityStore {
  let kept: IdentityFile | undefined;
  let networkCredential: NetworkCredential | undefined;
  let sessionNumber = 0n;
  return {
    load: () => kept,
    save(file) {
      kept = file;
    },
    discard() {
      kept = undefined;
      networkCredential = undefined;
      sessionNumber = 0n;
    },
    loadNetworkCredential: () => networkCredential,
    saveNetworkCredential(credential) {
      networkCredential = credential;
    },
    forgetNetworkCredential() {
      networkCredential = undefined;
    },
    loadSessionNumber: () => sessionNumber,
    saveSessionNumber(number) {
      sessionNumber = number;
    },
  };
}

function parseFile(text: string, path: string): IdentityFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is not JSON: remove it to enroll anew`, { cause: error });
  }
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) throw new Error(`${path} is not an identity of this version: remove it to enroll anew`);
  return parsed.data;
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
