/*
 * Bytes that arrive in parts and are kept once, under their SHA-256.
 *
 * 1. What is answered as received is durable: its part is in the blob store and on record (I4).
 * 2. A content's blob has a key of its own upload, so that deleting an old one never hits a newer one of the same digest.
 * 3. A blob is doomed before it is written, and before it is forgotten: a server that dies leaves nothing behind for good.
 * 4. What came in one part is kept as it came; what came in several is put together once, so that it is read and linked to as one blob.
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
  countPartsBelow,
  dropUploads,
  getUpload,
  listParts,
  restartUpload,
  type Upload,
  type UploadPart,
} from "../store/uploads.ts";
import { BlobError, type BlobRange, type Blobs, type LinkHeaders } from "./blobs.ts";

/** How long a blob may take until it is on record; one that is older is nobody's. */
const draftTime_ms = 6 * 3_600_000;
const blobsPerSweep = 500;
/** A part below this is a small one. An upload has few: its last, and those with which it goes on after an interruption. */
const smallPart_bytes = 65_536;
const maximumSmallParts = 64;

/** Bytes to add to an upload, and how many it may have. `admit` is of the transaction that adds them, and may refuse. */
export type Append = { offset: number; data: Uint8Array; maximumBytes: number; what: string; admit?: Admit };
type Admit = (transaction: SqlOrTransaction) => Promise<void>;

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
  /** A URL by which anybody reads the content for a short time; `undefined` where its store gives out none. */
  link(sha256: string, headers: LinkHeaders): Promise<string | undefined>;
  /** Deletes blobs that nothing needs; later where their store is away. */
  sweepBlobs(): Promise<void>;
};

export type Settle = (transaction: SqlOrTransaction, sizeBytes: number) => Promise<void>;

/**
 * Contents by their SHA-256: the table says which there are and the blobs have their bytes, so what a crash leaves in one alone is
 * swept.
 */
export function createContentStore({ sql, blobs }: { sql: Sql; blobs: Blobs }): ContentStore {
  const assemble = async (upload: Upload, sha256: string, settle: Settle): Promise<boolean> => {
    const parts = await listParts(sql, upload.id);
    const sizeBytes = parts.reduce((sum, part) => sum + Number(part.sizeBytes), 0);
    const known = await getContent(sql, sha256);
    const only = parts.length === 1 ? parts[0]!.blobKey : undefined;
    const blobKey = only ?? `content/${sha256.slice(0, 2)}/${sha256}-${randomBytes(8).toString("hex")}`;
    const isWritten = !known && only === undefined;
    const hash = createHash("sha256");
    if (isWritten) {
      await doomBlobs(sql, [blobKey], draftTime_ms);
      await blobs.put(blobKey, joined(blobs, parts, hash));
    } else {
      for await (const _piece of joined(blobs, parts, hash));
    }
    if (hash.digest("hex") !== sha256) {
      await sql.begin((transaction) => restartUpload(transaction, upload));
      if (isWritten) await discard(blobKey);
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
      await settle(transaction, sizeBytes);
      await dropUploads(transaction, [upload.id]);
      if (content.blobKey === blobKey) await spareBlob(transaction, blobKey);
      return content;
    });
    if (isWritten && kept?.blobKey !== blobKey) await discard(blobKey);
    return kept !== undefined;
  };

  const discard = async (blobKey: string): Promise<void> => {
    await blobs.delete(blobKey);
    await forgetDoomedBlobs(sql, [blobKey]);
  };

  return {
    async append(uploadId, { offset, data, maximumBytes, what, admit }) {
      const upload = await getUpload(sql, uploadId);
      if (!upload) throw new AgynError("STATE", `${what} takes no more bytes`);
      if (offset !== Number(upload.receivedBytes) || data.length === 0) return Number(upload.receivedBytes);
      if (offset + data.length > maximumBytes) {
        throw new AgynError("LIMIT", `${what} would be above ${maximumBytes} bytes`);
      }
      // Each part is a blob and a row.
      const isSmall = data.length < smallPart_bytes;
      if (isSmall && (await countPartsBelow(sql, uploadId, smallPart_bytes)) >= maximumSmallParts) {
        const text = `${what} came in ${maximumSmallParts} parts below ${smallPart_bytes} bytes already: send larger ones`;
        throw new AgynError("LIMIT", text);
      }
      const blobKey = `uploads/${uploadId}.${offset}-${randomBytes(8).toString("hex")}`;
      const part = { firstByte: BigInt(offset), sizeBytes: BigInt(data.length), blobKey };
      await doomBlobs(sql, [blobKey], draftTime_ms);
      await blobs.put(blobKey, data);
      const isAppended = await sql.begin(async (transaction) => {
        await admit?.(transaction);
        return appendPart(transaction, uploadId, part);
      });
      if (isAppended) return offset + data.length;
      await discard(blobKey);
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

    async link(sha256, headers) {
      const content = await getContent(sql, sha256);
      return content && blobs.link(content.blobKey, headers);
    },

    async sweepBlobs() {
      const keys = await listDoomedBlobs(sql, blobsPerSweep);
      const gone: string[] = [];
      try {
        for (const key of keys) {
          await blobs.delete(key);
          gone.push(key);
        }
      } catch (error) {
        // A store that is away is no reason for this replica to be taken for stuck.
        if (!(error instanceof AgynError && error.reason === "UNAVAILABLE")) throw error;
      }
      if (gone.length > 0) await forgetDoomedBlobs(sql, gone);
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
