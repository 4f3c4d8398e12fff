import type http from "node:http";
import { pipeline } from "node:stream/promises";
import type { ContentStore } from "../blobs/content-store.ts";
import { tokenAllows } from "../domain/access.ts";
import { AgynError } from "../domain/errors.ts";
import { getArtifact } from "../store/artifacts.ts";
import type { Sql } from "../store/database.ts";
import { downloadHeaders, fileNameOf, linkHeaders, rangeOf } from "./artifact-headers.ts";
import { completeDigest } from "./artifacts-service.ts";
import type { Authenticate } from "./authenticate.ts";
import { resolveArtifact } from "./references.ts";

export type DownloadDeps = { sql: Sql; contents: ContentStore; authenticate: Authenticate };

/** Answers requests that it knows; `false`: it is another's. */
export type PlainHandler = (request: http.IncomingMessage, response: http.ServerResponse) => Promise<boolean>;

const statuses: Partial<Record<string, number>> = {
  UNAUTHENTICATED: 401,
  TOKEN_SCOPE: 403,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  STATE: 409,
  LIMIT: 429,
  UNAVAILABLE: 503,
};

/** `GET /artifacts/<id>` with an access token: the bytes of an artifact, or a range of them, here or where a link leads. */
export function createArtifactDownload(deps: DownloadDeps): PlainHandler {
  return async (request, response) => {
    const id = /^\/artifacts\/(art_[a-z2-7]{16})$/.exec(request.url ?? "")?.[1];
    if (id === undefined) return false;
    try {
      await download(deps, id, request, response);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else refuse(response, error);
    }
    return true;
  };
}

async function download(
  { sql, contents, authenticate }: DownloadDeps,
  id: string,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const caller = await authenticate(request.headers.authorization ?? null);
  if (caller.kind !== "user") throw new AgynError("UNAUTHENTICATED", "an access token is needed");
  if (!tokenAllows(caller.scopes, "artifacts.read")) {
    throw new AgynError("TOKEN_SCOPE", "the access token lacks the scope artifacts.read");
  }
  const known = await getArtifact(sql, id);
  const artifact = await resolveArtifact(sql, caller, id, known?.organizationId);
  const sha256 = completeDigest(artifact);
  const size = Number(artifact.sizeBytes);
  const headers = downloadHeaders(fileNameOf(artifact), sha256);
  // Of a range only GET knows.
  const range = request.method === "HEAD" ? undefined : rangeOf(request.headers.range, size);
  if (range === "none") {
    response.writeHead(416, { ...headers, "content-range": `bytes */${size}`, "content-length": "0" });
    response.end();
    return;
  }
  if (request.method === "HEAD") {
    response.writeHead(200, { ...headers, "content-length": String(size) });
    response.end();
    return;
  }
  const link = await contents.link(sha256, linkHeaders(headers));
  if (link !== undefined) {
    response.writeHead(307, { location: link, "cache-control": "no-store", "content-length": "0" });
    response.end();
    return;
  }
  const { first, last } = range ?? { first: 0, last: size - 1 };
  const bytes = await contents.read(sha256, { offset: first, length: last - first + 1 });
  response.writeHead(range ? 206 : 200, {
    ...headers,
    "content-length": String(last - first + 1),
    ...(range && { "content-range": `bytes ${first}-${last}/${size}` }),
  });
  await pipeline(bytes, response);
}

function refuse(response: http.ServerResponse, error: unknown): void {
  const isKnown = error instanceof AgynError;
  const text = isKnown ? error.message : "an error inside the server";
  response.writeHead((isKnown ? statuses[error.reason] : undefined) ?? 500, {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    ...(isKnown && error.reason === "UNAUTHENTICATED" && { "www-authenticate": "Bearer" }),
  });
  response.end(`${text}\n`);
}
