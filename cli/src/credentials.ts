import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { exitCodes, Failure, UsageError } from "./failures.ts";

/** Where the control plane is and how the caller proves who it is. */
export interface Credentials {
  readonly gateway: string;
  /** An access token; none where nothing was found. */
  readonly token: string | undefined;
  /** Where each was found. */
  readonly gatewaySource: string;
  readonly tokenSource: string;
  /** PEM file by which the gateway is known; without one, by the authorities that this machine trusts. */
  readonly caFile: string | undefined;
}

export interface CredentialOptions {
  readonly gateway: string | undefined;
  readonly caFile: string | undefined;
  readonly tokenFile: string | undefined;
  /** Send a token without TLS to a machine beyond this one. */
  readonly allowCleartext: boolean;
}

const defaultGateway = "http://127.0.0.1:7070";
const maximumTokenBytes = 4096;

/**
 * Looks, in this order: flags, `AGYN_GATEWAY` and `AGYN_TOKEN`, the data directory (`AGYN_DATA_DIR`, else the nearest
 * `.agyn` upward from `cwd`). A directory's token goes only to that directory's gateway, and a token from elsewhere goes
 * to a directory's gateway only on this machine: a directory that came with a clone must not collect tokens. For the same
 * reason the certificate in a directory counts only where that directory names the gateway.
 */
export function findCredentials(options: CredentialOptions, environment: NodeJS.ProcessEnv, cwd: string): Credentials {
  const directory = findDataDirectory(environment, cwd);
  const directoryGateway = directory === undefined ? undefined : readLine(join(directory, "gateway"));
  const named = nonEmpty(environment["AGYN_GATEWAY"]);
  const chosen = options.gateway ?? named;
  const gateway = checkGateway(chosen ?? directoryGateway ?? defaultGateway);
  const found = findToken(
    options,
    environment,
    directory,
    chosen === undefined || sameGateway(chosen, directoryGateway),
  );
  const isLoopback = isLoopbackHost(new URL(gateway).hostname);
  if (found !== undefined && found.kind === "given" && chosen === undefined && !isLoopback) {
    const hint = `set AGYN_GATEWAY=${gateway} if that is where the token belongs`;
    throw new Failure(
      `the gateway ${gateway} is named by ${directory ?? "nothing"} only, so the token is not sent there`,
      exitCodes.denied,
      hint,
    );
  }
  if (found !== undefined && gateway.startsWith("http:") && !isLoopback && !options.allowCleartext) {
    const hint = "use an https:// gateway, or --allow-cleartext where the network is trusted";
    throw new Failure(`the token is not sent to ${gateway} without TLS`, exitCodes.denied, hint);
  }
  const places = [
    [options.gateway, "--gateway"],
    [named, "AGYN_GATEWAY"],
    [directoryGateway, join(directory ?? "", "gateway")],
  ] as const;
  const gatewaySource = places.find(([text]) => text !== undefined)?.[1] ?? "its default";
  const givenCaFile = options.caFile ?? nonEmpty(environment["AGYN_CA_FILE"]);
  const ownCaFile = chosen === undefined && directory !== undefined ? findCertificate(directory) : undefined;
  return {
    gateway,
    gatewaySource,
    token: found?.token,
    tokenSource: found?.source ?? "nowhere",
    caFile: givenCaFile ?? ownCaFile,
  };
}

/** What the control plane of a data directory leaves there where its user port speaks TLS. */
function findCertificate(directory: string): string | undefined {
  const path = join(directory, "gateway.crt");
  return statSync(path, { throwIfNoEntry: false }) === undefined ? undefined : path;
}

type Found = { kind: "given" | "directory"; token: string; source: string };

function findToken(
  options: CredentialOptions,
  environment: NodeJS.ProcessEnv,
  directory: string | undefined,
  isDirectoryGateway: boolean,
): Found | undefined {
  if (options.tokenFile !== undefined) {
    const token = readLine(options.tokenFile);
    if (token === undefined) throw new UsageError(`the token file ${options.tokenFile} does not exist or is empty`);
    return { kind: "given", token: checkToken(token, options.tokenFile), source: options.tokenFile };
  }
  const given = nonEmpty(environment["AGYN_TOKEN"]);
  if (given !== undefined)
    return { kind: "given", token: checkToken(given.trim(), "AGYN_TOKEN"), source: "AGYN_TOKEN" };
  if (directory === undefined || !isDirectoryGateway) return undefined;
  const path = join(directory, "admin-token");
  const token = readLine(path);
  return token === undefined ? undefined : { kind: "directory", token: checkToken(token, path), source: path };
}

/** What cannot stand in a header is told by its place, never by its value. */
function checkToken(token: string, source: string): string {
  if (/^[!-~]+$/.test(token)) return token;
  throw new UsageError(`the token of ${source} holds characters that no token has`);
}

function findDataDirectory(environment: NodeJS.ProcessEnv, cwd: string): string | undefined {
  const named = nonEmpty(environment["AGYN_DATA_DIR"]);
  if (named !== undefined) return resolve(cwd, named);
  for (let path = resolve(cwd); ; path = dirname(path)) {
    const candidate = join(path, ".agyn");
    if (isOwnDirectory(candidate)) return candidate;
    if (path === dirname(path)) return undefined;
  }
}

/** Another user's directory, such as one in `/tmp`, is not believed; root's own view is wider. */
function isOwnDirectory(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isDirectory() !== true) return false;
  const uid = process.getuid?.();
  return uid === undefined || uid === 0 || stats.uid === uid;
}

function readLine(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
      return undefined;
    throw new Failure(
      `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
      exitCodes.denied,
    );
  }
  try {
    if (fstatSync(file).isDirectory()) throw new UsageError(`${path} is a directory, not a file`);
    const buffer = Buffer.alloc(maximumTokenBytes + 1);
    const length = readSync(file, buffer);
    if (length > maximumTokenBytes) throw new UsageError(`${path} is longer than ${maximumTokenBytes} bytes`);
    return nonEmpty(buffer.toString("utf8", 0, length).trim());
  } finally {
    closeSync(file);
  }
}

function checkGateway(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:") || url.host === "") {
    throw new UsageError(`the gateway "${text}" is no URL such as http://127.0.0.1:7070 or https://agyn.example.com`);
  }
  if (url.username !== "" || url.password !== "")
    throw new UsageError("the gateway's URL holds credentials: take them out");
  return url.href.replace(/\/+$/, "");
}

function sameGateway(one: string, other: string | undefined): boolean {
  return (
    other !== undefined && URL.canParse(one) && URL.canParse(other) && new URL(one).origin === new URL(other).origin
  );
}

/** Whether `host` is this machine. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}
