/* Bundles: the files that runs start with, uploaded by people. */
import { Readable, pipeline } from "node:stream";
import { createZstdDecompress } from "node:zlib";
import { createId } from "../../../wire/ids.ts";
import { readTar, TarError, type TarBounds } from "../../../wire/tar.ts";
import type { ContentStore } from "../blobs/content-store.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import { getBundle, noteBundle } from "../store/bundles.ts";
import { limits as pipelineLimits } from "../../../pipelines/limits.ts";
import type { Sql } from "../store/database.ts";
import { countBundleUploads, getUpload, insertUpload, type Upload } from "../store/uploads.ts";

export type BundlesDeps = { sql: Sql; contents: ContentStore; maximumBytes: number };
export type Bundles = ReturnType<typeof createBundles>;

/** Who uploads a bundle, and for whom. */
export type Uploader = { organizationId: string; userId: string };

/** Begun at one time by an organization's users, and neither finished nor given up yet. */
const maximumUploads = 64;

/** Of what is unpacked to find one file. */
const bounds: TarBounds = { entries: 100_000, bytes: 4 * 1024 ** 3 };

/**
 * Files that people bring to a run: uploaded in parts by one user of one organization, stored once for each content. What goes beyond
 * `maximumBytes` is refused with `LIMIT`.
 */
export function createBundles({ sql, contents, maximumBytes }: BundlesDeps) {
  const uploadOf = async ({ organizationId, userId }: Uploader, id: string): Promise<Upload> => {
    const upload = await getUpload(sql, id);
    if (upload?.organizationId !== organizationId || upload.userId !== userId) throw notFound("upload", id);
    return upload;
  };
  return {
    /** Begins an upload, unless the organization has the bundle: that others have it must not show (I7). */
    async create(uploader: Uploader, sha256: string): Promise<{ uploadId: string; complete: boolean }> {
      const { organizationId } = uploader;
      if (await getBundle(sql, organizationId, sha256)) {
        await noteBundle(sql, organizationId, sha256);
        return { uploadId: "", complete: true };
      }
      if ((await countBundleUploads(sql, organizationId)) >= maximumUploads) {
        const text = `${maximumUploads} bundles are being uploaded in the organization, the most at one time: try again later`;
        throw new AgynError("LIMIT", text, { retryAfter_ms: 60_000 });
      }
      const id = createId("upload");
      await insertUpload(sql, { id, ...uploader });
      return { uploadId: id, complete: false };
    },

    async write(uploader: Uploader, id: string, part: { offset: number; data: Uint8Array }): Promise<number> {
      await uploadOf(uploader, id);
      return contents.append(id, { ...part, maximumBytes, what: "the bundle" });
    },

    /** Ends the upload; said again, it answers the same. */
    async finish(uploader: Uploader, id: string, sha256: string): Promise<number> {
      const { organizationId } = uploader;
      let size = 0;
      const known = (await getUpload(sql, id)) ? undefined : await getBundle(sql, organizationId, sha256);
      if (known) return Number(known.sizeBytes);
      await contents.finish(await uploadOf(uploader, id), sha256, async (transaction, sizeBytes) => {
        size = sizeBytes;
        await noteBundle(transaction, organizationId, sha256);
      });
      return size;
    },

    /** A pipeline's file of a bundle. */
    async readFile(organizationId: string, sha256: string, path: string): Promise<Uint8Array> {
      if (!(await getBundle(sql, organizationId, sha256))) {
        throw new AgynError("NOT_FOUND", `there is no bundle ${sha256}: upload it again`);
      }
      const wanted = path.replace(/^(\.\/)+/, "");
      try {
        const file = await findFile(await contents.read(sha256), wanted);
        if (file) return file;
      } catch (error) {
        if (!isBroken(error)) throw error;
        throw invalidField("bundle_digest", `the bundle cannot be read: ${(error as Error).message}`);
      }
      throw new AgynError("SOURCE", `the bundle has no file ${JSON.stringify(wanted)}`);
    },
  };
}

/** Whether an archive is to blame: damaged, hostile, or cut short. */
function isBroken(error: unknown): boolean {
  return error instanceof TarError || /^(ZSTD_|Z_BUF_ERROR$)/.test(String((error as NodeJS.ErrnoException).code));
}

async function findFile(bytes: AsyncIterable<Uint8Array>, path: string): Promise<Uint8Array | undefined> {
  const limit = pipelineLimits.file_bytes.value;
  const unpacked = pipeline(Readable.from(bytes), createZstdDecompress(), () => undefined);
  try {
    for await (const entry of readTar(unpacked, bounds)) {
      if (entry.kind !== "file" || entry.path !== path) continue;
      if (entry.sizeBytes > limit) throw invalidField("pipeline", `${path} is above ${limit} bytes`);
      const pieces: Uint8Array[] = [];
      for await (const piece of entry.content) pieces.push(piece);
      return Buffer.concat(pieces);
    }
    return undefined;
  } finally {
    unpacked.destroy();
  }
}
