/*
 * Blobs as objects of a bucket, under the keys that a directory would have as paths.
 *
 * 1. A blob is there whole or not at all: one request, or a multipart upload that counts once it is completed.
 * 2. What is held of a blob in memory is two parts at most; each part can be sent again, because it is held (I9).
 * 3. What cannot be had is `UNAVAILABLE` to the caller, after tries; why is told to `onError`, for the log.
 */
import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { AgynError } from "../domain/errors.ts";
import { BlobError, BlobStartError, checkKey, type BlobContent, type BlobRange, type Blobs } from "./blobs.ts";
import { explainStart, isBeyondEnd, isMissing, unavailable } from "./s3-errors.ts";
import { putParts } from "./s3-multipart.ts";
import { cutIntoParts } from "./s3-parts.ts";
import type { S3Place } from "./s3-place.ts";

export type S3BlobsOptions = S3Place & {
  /** Told of each request that failed for good. */
  onError: (error: unknown) => void;
  /** Uploads of parts that are older were left by a server that died: they are given up at the opening. */
  uploadTime_ms?: number;
};

export type S3Blobs = Blobs & { close(): void };

const connectTimeout_ms = 5000;
/** From the first byte of a request to the first of its answer: a part has to go through, and a large blob to be put together. */
const requestTimeout_ms = 120_000;
/** A connection on which nothing moves for so long is given up. */
const idleTimeout_ms = 60_000;
const maximumTries = 4;
const maximumSockets = 64;
/** How often in a row a reading that was cut goes on where it was. */
const maximumResumes = 4;
const defaultUploadTime_ms = 86_400_000;
/** A range that ends beyond this reads to the end. */
const farEnd = 2 ** 50;

/** Opens a bucket as a blob store, once it was seen to take, give, list and delete. Throws `BlobStartError` where it does not. */
export async function openS3Blobs(options: S3BlobsOptions): Promise<S3Blobs> {
  const client = new S3Client(clientConfig(options, options.endpoint));
  const linking = options.publicEndpoint && new S3Client(clientConfig(options, options.publicEndpoint));
  const store = createStore({ ...options, client, linking: linking || undefined });
  const close = (): void => {
    client.destroy();
    if (linking) linking.destroy();
  };
  try {
    await probe(client, options);
    await giveUpOldUploads(client, options);
  } catch (error) {
    close();
    throw new BlobStartError(explainStart(error, options), { cause: error });
  }
  return { ...store, close };
}

function clientConfig({ region, pathStyle }: S3Place, endpoint: string | undefined): S3ClientConfig {
  const agent = { keepAlive: true, maxSockets: maximumSockets };
  return {
    region,
    forcePathStyle: pathStyle,
    ...(endpoint !== undefined && { endpoint }),
    maxAttempts: maximumTries,
    // What is read is checked by its SHA-256 where it arrives, ranges and links included.
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      connectionTimeout: connectTimeout_ms,
      requestTimeout: requestTimeout_ms,
      throwOnRequestTimeout: true,
      socketTimeout: idleTimeout_ms,
      httpAgent: agent,
      httpsAgent: agent,
    },
  };
}

type Deps = S3BlobsOptions & { client: S3Client; linking: S3Client | undefined };

function createStore({ client, linking, bucket, prefix, linkTtl_ms, onError }: Deps): Blobs {
  const objectOf = (key: string): { Bucket: string; Key: string } => {
    checkKey(key);
    return { Bucket: bucket, Key: prefix + key };
  };
  const fail = (error: unknown): Error => {
    onError(error);
    return unavailable();
  };

  /** The bytes of one answer; those of a range that begins at the blob's end or beyond it are none. */
  const openBody = async (key: string, offset: number, end: number): Promise<AsyncIterable<Uint8Array>> => {
    const range = offset === 0 && end >= farEnd ? {} : { Range: `bytes=${offset}-${end >= farEnd ? "" : end - 1}` };
    try {
      const { Body } = await client.send(new GetObjectCommand({ ...objectOf(key), ...range }));
      return Body as Readable;
    } catch (error) {
      if (isMissing(error)) throw new BlobError("not_found", `blob ${key} is not there`);
      if (isBeyondEnd(error)) return nothing();
      throw error;
    }
  };

  async function* stream(key: string, range?: BlobRange): AsyncGenerator<Uint8Array> {
    objectOf(key);
    let offset = range?.offset ?? 0;
    const end = offset + (range?.length ?? Number.MAX_SAFE_INTEGER - offset);
    for (let failures = 0; offset < end;) {
      try {
        for await (const piece of await openBody(key, offset, end)) {
          offset += piece.length;
          failures = 0;
          yield piece;
        }
        return;
      } catch (error) {
        if (error instanceof BlobError) throw error;
        failures += 1;
        if (failures > maximumResumes) throw fail(error);
      }
    }
  }

  return {
    stream,
    async put(key: string, content: BlobContent) {
      const object = objectOf(key);
      const source = sourceOf(content);
      try {
        return await putContent(client, object, source.pieces);
      } catch (error) {
        throw error === source.failure || error instanceof AgynError ? error : fail(error);
      }
    },
    async get(key, range) {
      const pieces: Uint8Array[] = [];
      for await (const piece of stream(key, range)) pieces.push(piece);
      return Buffer.concat(pieces);
    },
    async delete(key) {
      const object = objectOf(key);
      await client.send(new DeleteObjectCommand(object)).catch((error: unknown) => {
        if (!isMissing(error)) throw fail(error);
      });
    },
    async *list(folder) {
      const { Key } = objectOf(folder);
      try {
        for await (const key of listKeys(client, bucket, `${Key}/`)) yield key.slice(prefix.length);
      } catch (error) {
        throw fail(error);
      }
    },
    async link(key, { contentType, contentDisposition }) {
      const object = objectOf(key);
      if (!linking) return undefined;
      const answer = { ResponseContentType: contentType, ResponseContentDisposition: contentDisposition };
      const command = new GetObjectCommand({ ...object, ...answer, ResponseCacheControl: "private, no-store" });
      return getSignedUrl(linking, command, { expiresIn: Math.ceil(linkTtl_ms / 1000) }).catch((error: unknown) => {
        throw fail(error);
      });
    },
  };
}

/** What fits one part goes by one request. */
async function putContent(
  client: S3Client,
  object: { Bucket: string; Key: string },
  content: AsyncIterable<Uint8Array>,
): Promise<{ sizeBytes: number }> {
  const parts = cutIntoParts(content);
  try {
    const first = await parts.next();
    const second = await parts.next();
    if (!first.done && !second.done) {
      return await putParts(client, object, { first: [first.value, second.value], rest: parts });
    }
    const body = first.value ?? Buffer.alloc(0);
    await client.send(new PutObjectCommand({ ...object, Body: body, ContentLength: body.length }));
    return { sizeBytes: body.length };
  } finally {
    await parts.return(undefined);
  }
}

/** Content whose own failure can be told from the store's. */
function sourceOf(content: BlobContent): { pieces: AsyncIterable<Uint8Array>; failure: unknown } {
  const source = { pieces: read(), failure: undefined as unknown };
  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      if (content instanceof Uint8Array) yield content;
      else yield* content;
    } catch (error) {
      source.failure = error;
      throw error;
    }
  }
  return source;
}

async function* listKeys(client: S3Client, bucket: string, prefix: string): AsyncGenerator<string> {
  for (let token: string | undefined, isMore = true; isMore;) {
    const page = { Bucket: bucket, Prefix: prefix, ...(token !== undefined && { ContinuationToken: token }) };
    const answer = await client.send(new ListObjectsV2Command(page));
    for (const { Key } of answer.Contents ?? []) if (Key !== undefined) yield Key;
    token = answer.NextContinuationToken;
    isMore = answer.IsTruncated === true && token !== undefined;
  }
}

/** Does with a small object what is done with blobs, so that whatever is amiss shows at the start. */
async function probe(client: S3Client, { bucket, prefix }: S3Place): Promise<void> {
  const folder = `${prefix}probe/`;
  const object = { Bucket: bucket, Key: `${folder}${randomBytes(8).toString("hex")}` };
  await client.send(new PutObjectCommand({ ...object, Body: Buffer.from("agyn") }));
  const { Body } = await client.send(new GetObjectCommand(object));
  await Body?.transformToByteArray();
  await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: folder, MaxKeys: 1 }));
  await client.send(new DeleteObjectCommand(object));
}

/** Parts of uploads that nobody will complete are paid for and not seen: a server that died could not give them up. */
async function giveUpOldUploads(client: S3Client, options: S3BlobsOptions): Promise<void> {
  const { bucket, prefix, uploadTime_ms = defaultUploadTime_ms, onError } = options;
  const before = Date.now() - uploadTime_ms;
  try {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }));
    for (const { Key, UploadId, Initiated } of Uploads) {
      if (Key === undefined || UploadId === undefined || (Initiated?.getTime() ?? 0) > before) continue;
      await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
    }
  } catch (error) {
    // Not every store lists them, and nothing depends on it.
    onError(error);
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
