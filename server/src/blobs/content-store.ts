/*
 * Bytes that arrive in parts and are kept once, under their SHA-256.
 *
 * 1. What is answered as received is durable: its part is in the blob store and on record (I4).
 * 2. A content's blob has a key of its own upload, so that deleting an old one never hits a newer one of the same digest.
 * 3. A blob is on record before it is written, or doomed before it is forgotten: a server that dies leaves nothing behind for good.
 */
import { createHash, randomBytes, type Hash } from "node:crypto";
import { AgynError } from "../domain/errors.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import {
  doomBlobs,
  forgetDoomedBlobs,
  getContent,
  holdContent,
  keepContent,
  listDoomedBlobs,
  spareBlob,
} from "../store/contents.ts";
import {
  appendPart,
  dropUploads,
  getUpload,
  knownPartBlobs,
  listParts,
  restartUpload,
  type Upload,
  type UploadPart,
} from "../store/uploads.ts";
import { BlobError, type BlobRange, type Blobs } from "./blobs.ts";

/** How long a content may take to be put together; a blob that is older and on no record is nobody's. */
const draftTime_ms = 6 * 3_600_000;
const blobsPerSweep = 500;

/** Bytes to add to an upload, and how many it may have. */
export type Append = { offset: number; data: Uint8Array; maximumBytes: number; what: string };

export type ContentStore = {
  /** Adds bytes where the upload stands at their offset; answers where it stands then. */
  append(uploadId: string, append: Append): Promise<number>;
  /**
   * Ends an upload whose bytes have the digest; `settle` is of the same transaction. Bytes of another digest are thrown
   * away: `INVALID_ARGUMENT`, and the upload begins anew.
   */
  finish(upload: Upload, sha256: string, settle: Settle): Promise<void>;
  /** The bytes of a content, or a range of them; `NOT_FOUND` where it is gone. */
  read(sha256: string, range?: BlobRange): Promise<AsyncIterable<Uint8Array>>;
  /** Deletes blobs that nothing needs. */
  sweepBlobs(): Promise<void>;
};

export type Settle = (transaction: SqlOrTransaction, sizeBytes: number) => Promise<void>;

export function createContentStore({ sql, blobs }: { sql: Sql; blobs: Blobs }): ContentStore {
  const assemble = async (upload: Upload, sha256: string, settle: Settle): Promise<boolean> => {
    const parts = await listParts(sql, upload.id);
    const sizeBytes = parts.reduce((sum, part) => sum + Number(part.sizeBytes), 0);
    const known = await getContent(sql, sha256);
    const blobKey = `content/${sha256.slice(0, 2)}/${sha256}-${randomBytes(8).toString("hex")}`;
    const hash = createHash("sha256");
    if (known) {
      for await (const _piece of joined(blobs, parts, hash));
    } else {
      await doomBlobs(sql, [blobKey], draftTime_ms);
      await blobs.put(blobKey, joined(blobs, parts, hash));
    }
    const isMeant = hash.digest("hex") === sha256;
    if (!isMeant) {
      await sql.begin((transaction) => restartUpload(transaction, upload));
      if (!known) await discard(blobKey);
      throw new AgynError(
        "INVALID_ARGUMENT",
        `the ${sizeBytes} bytes that arrived do not have the SHA-256 ${sha256}: upload them again, from the beginning`,
      );
    }
    const kept = await sql.begin(async (transaction) => {
      const content = known
        ? await holdContent(transaction, sha256)
        : await keepContent(transaction, { sha256, sizeBytes, blobKey });
      if (!content) return undefined;
      if (content.blobKey === blobKey) await spareBlob(transaction, blobKey);
      await settle(transaction, sizeBytes);
      await dropUploads(transaction, [upload.id]);
      return content;
    });
    if (!known && kept?.blobKey !== blobKey) await discard(blobKey);
    return kept !== undefined;
  };

  const discard = async (blobKey: string): Promise<void> => {
    await blobs.delete(blobKey);
    await forgetDoomedBlobs(sql, [blobKey]);
  };

  return {
    async append(uploadId, { offset, data, maximumBytes, what }) {
      const upload = await getUpload(sql, uploadId);
      if (!upload) throw new AgynError("STATE", `${what} takes no more bytes`);
      if (offset !== Number(upload.receivedBytes) || data.length === 0) return Number(upload.receivedBytes);
      if (offset + data.length > maximumBytes) {
        throw new AgynError("LIMIT", `${what} would be above ${maximumBytes} bytes`);
      }
      const blobKey = `uploads/${uploadId}.${offset}.${Date.now()}-${randomBytes(4).toString("hex")}`;
      await blobs.put(blobKey, data);
      const part = { firstByte: BigInt(offset), sizeBytes: BigInt(data.length), blobKey };
      if (await appendPart(sql, uploadId, part)) return offset + data.length;
      await blobs.delete(blobKey);
      return Number((await getUpload(sql, uploadId))?.receivedBytes ?? 0n);
    },

    async finish(upload, sha256, settle) {
      // A content that is swept just then is put together by the next round.
      while (!(await assemble(upload, sha256, settle)));
    },

    async read(sha256, range) {
      const content = await getContent(sql, sha256);
      if (!content) throw new AgynError("NOT_FOUND", `there is no content with the SHA-256 ${sha256} any more`);
      return readable(blobs.stream(content.blobKey, range), sha256);
    },

    async sweepBlobs() {
      const keys = await listDoomedBlobs(sql, blobsPerSweep);
      for (const key of keys) await blobs.delete(key);
      if (keys.length > 0) await forgetDoomedBlobs(sql, keys);
      await sweepOrphans(sql, blobs);
    },
  };
}

/** The parts one after the other, hashed on their way. */
async function* joined(blobs: Blobs, parts: readonly UploadPart[], hash: Hash): AsyncGenerator<Uint8Array> {
  for (const { blobKey } of parts) {
    for await (const piece of blobs.stream(blobKey)) {
      hash.update(piece);
      yield piece;
    }
  }
}

async function* readable(pieces: AsyncIterable<Uint8Array>, sha256: string): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces;
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    throw new AgynError("NOT_FOUND", `the content with the SHA-256 ${sha256} is not there any more`);
  }
}

/** Parts that a server wrote and died before it had them on record. */
async function sweepOrphans(sql: Sql, blobs: Blobs): Promise<void> {
  const old: string[] = [];
  for await (const key of blobs.list("uploads")) {
    const time = Number(/\.([0-9]+)-[0-9a-f]+$/.exec(key)?.[1]);
    if (time < Date.now() - draftTime_ms) old.push(key);
    if (old.length >= blobsPerSweep) break;
  }
  const known = await knownPartBlobs(sql, old);
  for (const key of old) if (!known.has(key)) await blobs.delete(key);
}
