/** What a blob's content may be given as. */
export type BlobContent = Uint8Array | AsyncIterable<Uint8Array>;

/** Bytes of a blob from `offset`, at most `length` of them. */
export type BlobRange = { offset: number; length: number };

type BlobErrorReason = "invalid_key" | "not_found";

/** A key that is not one, or a blob that is not there. */
export class BlobError extends Error {
  override name = "BlobError";
  readonly reason: BlobErrorReason;

  constructor(reason: BlobErrorReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** A blob store that cannot be used as it is configured, for the operator to mend. */
export class BlobStartError extends Error {
  override name = "BlobStartError";
}

/** What a link makes of a blob for whoever follows it. */
export type LinkHeaders = { contentType: string; contentDisposition: string };

/** Where large immutable bytes are kept: whole blobs under keys such as `logs/wkl_x/1/0.log`. */
export type Blobs = {
  /** Stores the content durably under the key, whole or not at all; what was there is replaced. */
  put(key: string, content: BlobContent): Promise<{ sizeBytes: number }>;
  /** The bytes of a range (fewer at the blob's end), or of the whole blob; `not_found` where there is none. */
  get(key: string, range?: BlobRange): Promise<Uint8Array>;
  /** The blob piece by piece, for what must not be held in memory. */
  stream(key: string, range?: BlobRange): AsyncIterable<Uint8Array>;
  /** Removes the blob; one that is not there is removed already. */
  delete(key: string): Promise<void>;
  /** Every key that starts with `prefix` (itself a key, read as whole path parts), in no order. */
  list(prefix: string): AsyncIterable<string>;
  /** A URL by which whoever has it reads the blob for a short time; `undefined` where the store gives out none. */
  link(key: string, headers: LinkHeaders): Promise<string | undefined>;
};

/** Longest key. */
const maximumKeyBytes = 512;
const keyPart = /^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}$/;

/** Refuses keys that are not `/`-joined parts of letters, digits, `_`, `-` and inner dots (so no `..` and no root). */
export function checkKey(key: string): void {
  if (key.length > maximumKeyBytes) throw new BlobError("invalid_key", `blob key is above ${maximumKeyBytes} bytes`);
  for (const part of key.split("/")) {
    if (!keyPart.test(part))
      throw new BlobError("invalid_key", `blob key ${JSON.stringify(key)} has the part ${JSON.stringify(part)}`);
  }
}
