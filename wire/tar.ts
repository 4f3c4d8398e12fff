/*
 * Archives of files and folders: POSIX ustar, with pax records for long names and sizes (IEEE Std 1003.1, "pax Interchange
 * Format"); read are also the long names of GNU tar. The same entries always give the same bytes: no times, no owners. Links and
 * devices are neither written nor read.
 */
import { entryPathFault } from "./artifact-name.ts";

/** A file to be packed; `content` must give exactly `sizeBytes`. */
export type TarFile = {
  path: string;
  isExecutable: boolean;
  sizeBytes: number;
  content: () => AsyncIterable<Uint8Array>;
};

/** A folder to be packed, which no file would imply because it is empty. */
export type TarFolder = { path: string; isFolder: true };

/** A file or folder of an archive. A file's content must be read, or passed over, before the next entry is asked for. */
export type TarEntry =
  | { kind: "file"; path: string; isExecutable: boolean; sizeBytes: number; content: AsyncIterable<Uint8Array> }
  | { kind: "directory"; path: string };

/** An archive that is damaged, hostile, or beyond a bound. */
export class TarError extends Error {
  override name = "TarError";
}

export type TarBounds = {
  entries: number;
  bytes: number;
  /** Told of links, devices and the like, which are passed over then; without, they end the reading. */
  leaveOut?: (path: string, kind: string) => void;
};

const block = 512;
/** Of a pax header: names are at most 4096 bytes. */
const maximumPaxBytes = 64 * 1024;

/** Packs files; the folders of their paths are implied. */
export async function* packTar(
  files: AsyncIterable<TarFile | TarFolder> | Iterable<TarFile | TarFolder>,
): AsyncGenerator<Uint8Array> {
  for await (const file of files) {
    const fault = entryPathFault(file.path);
    if (fault !== undefined) throw new TarError(`path ${JSON.stringify(file.path)}: ${fault}`);
    if ("isFolder" in file) {
      yield* headersOf({ path: file.path, sizeBytes: 0, isExecutable: true }, "5");
      continue;
    }
    yield* headersOf(file, "0");
    let left = file.sizeBytes;
    for await (const piece of file.content()) {
      left -= piece.length;
      if (left < 0) break;
      yield piece;
    }
    if (left !== 0) throw new TarError(`${file.path} changed its size while it was read`);
    yield Buffer.alloc(padding(file.sizeBytes));
  }
  yield Buffer.alloc(2 * block);
}

function* headersOf(
  { path, sizeBytes, isExecutable }: Omit<TarFile, "content">,
  type: "0" | "5",
): Generator<Uint8Array> {
  const isPlain = /^[\x20-\x7e]{1,100}$/.test(path);
  const isSmall = sizeBytes < 8 ** 11;
  if (!isPlain || !isSmall) {
    const records = [isPlain ? "" : paxRecord("path", path), isSmall ? "" : paxRecord("size", String(sizeBytes))];
    const body = Buffer.from(records.join(""));
    yield header({ name: "pax", mode: 0o644, sizeBytes: body.length, type: "x" });
    yield body;
    yield Buffer.alloc(padding(body.length));
  }
  const name = isPlain ? path : "long-name";
  yield header({ name, mode: isExecutable ? 0o755 : 0o644, sizeBytes: isSmall ? sizeBytes : 0, type });
}

/** "<length of the record> <key>=<value>\n", its length counted in. */
function paxRecord(key: string, value: string): string {
  const body = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(body);
  let length = bytes;
  while (length !== bytes + String(length).length) length = bytes + String(length).length;
  return `${length}${body}`;
}

type Header = { name: string; mode: number; sizeBytes: number; type: string };

function header({ name, mode, sizeBytes, type }: Header): Uint8Array {
  const bytes = Buffer.alloc(block);
  const octal = (value: number, at: number, width: number): void => {
    bytes.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at, "latin1");
  };
  bytes.write(name, 0, 100, "latin1");
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(sizeBytes, 124, 12);
  octal(0, 136, 12);
  bytes.write(type, 156, "latin1");
  bytes.write("ustar\x0000", 257, "latin1");
  bytes.write(`${checksum(bytes).toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}

/** The sum of a header's bytes, its own field counted as spaces. */
function checksum(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 32 : byte), 0);
}

/** Reads an archive piece by piece. Throws a `TarError` at the first entry that is not a plain file or folder, or past a bound. */
export async function* readTar(source: AsyncIterable<Uint8Array>, bounds: TarBounds): AsyncGenerator<TarEntry> {
  const input = createInput(source);
  let entries = 0;
  let bytes = 0;
  let pax = new Map<string, string>();
  for (;;) {
    const head = await input.take(block);
    if (head.every((byte) => byte === 0)) return;
    const { type, ...fields } = parseHeader(head);
    entries += 1;
    if (entries > bounds.entries) throw new TarError(`the archive has more than ${bounds.entries} entries`);
    if (type === "x" || type === "g") {
      if (fields.sizeBytes > maximumPaxBytes)
        throw new TarError(`an extended header is above ${maximumPaxBytes} bytes`);
      const records = parsePax(await input.take(fields.sizeBytes));
      await input.pass(padding(fields.sizeBytes));
      if (type === "x") pax = records;
      continue;
    }
    if (type === "L" || type === "K") {
      if (fields.sizeBytes > maximumPaxBytes) throw new TarError(`a long name is above ${maximumPaxBytes} bytes`);
      const name = Buffer.from(await input.take(fields.sizeBytes));
      await input.pass(padding(fields.sizeBytes));
      if (type === "L") pax = new Map([...pax, ["path", name.toString().replace(/\0+$/, "")]]);
      continue;
    }
    const path = (pax.get("path") ?? fields.path).replace(/^(\.\/)+/, "").replace(/\/+$/, "");
    const sizeBytes = sizeOf(pax, fields.sizeBytes);
    pax = new Map();
    bytes += sizeBytes;
    if (bytes > bounds.bytes) throw new TarError(`the archive holds more than ${bounds.bytes} bytes`);
    if (type === "5" && (path === "" || path === ".")) continue;
    const fault = entryPathFault(path);
    if (fault !== undefined) throw new TarError(`entry ${JSON.stringify(path)}: ${fault}`);
    if (type === "5") {
      yield { kind: "directory", path };
      continue;
    }
    if (type !== "0" && type !== "\0") {
      if (bounds.leaveOut === undefined) throw new TarError(`entry ${JSON.stringify(path)} is ${kindName(type)}`);
      bounds.leaveOut(path, kindName(type));
      // Links and devices have no content, whatever size their header tells.
      if (!"123456".includes(type)) await input.pass(sizeBytes + padding(sizeBytes));
      continue;
    }
    const content = input.content(sizeBytes);
    yield { kind: "file", path, isExecutable: (fields.mode & 0o100) !== 0, sizeBytes, content };
    for await (const _rest of content);
    await input.pass(padding(sizeBytes));
  }
}

function kindName(type: string): string {
  if (type === "1") return "a hard link";
  if (type === "2") return "a symbolic link";
  return ["3", "4", "6"].includes(type) ? "a device or pipe" : `of the unknown kind ${JSON.stringify(type)}`;
}

function parseHeader(bytes: Uint8Array) {
  const text = (at: number, width: number): string => {
    const field = Buffer.from(bytes.subarray(at, at + width));
    const end = field.indexOf(0);
    return field.toString("utf8", 0, end < 0 ? width : end);
  };
  const octal = (at: number, width: number): number => {
    const digits = text(at, width).trim();
    if (!/^[0-7]{1,11}$/.test(digits)) throw new TarError("a header holds a number that is none");
    return Number.parseInt(digits, 8);
  };
  if (octal(148, 8) !== checksum(bytes))
    throw new TarError("a header's checksum is wrong: this is no tar, or it is damaged");
  const prefix = text(257, 5) === "ustar" ? text(345, 155) : "";
  const name = text(0, 100);
  return {
    path: prefix === "" ? name : `${prefix}/${name}`,
    mode: octal(100, 8),
    sizeBytes: octal(124, 12),
    type: String.fromCharCode(bytes[156]!),
  };
}

function parsePax(bytes: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length;) {
    const rest = Buffer.from(bytes.subarray(at));
    const length = Number(/^([0-9]{1,6}) /.exec(rest.toString("latin1", 0, 8))?.[1]);
    const record = rest.toString("utf8", 0, length);
    const [, key, value] = /^[0-9]+ ([^=]+)=(.*)\n$/s.exec(record) ?? [];
    if (key === undefined || value === undefined || length > rest.length)
      throw new TarError("an extended header is damaged");
    records.set(key, value);
    at += length;
  }
  return records;
}

function sizeOf(pax: ReadonlyMap<string, string>, plain: number): number {
  const text = pax.get("size");
  if (text === undefined) return plain;
  if (!/^[0-9]{1,15}$/.test(text)) throw new TarError("an extended header holds a size that is none");
  return Number(text);
}

function padding(sizeBytes: number): number {
  return (block - (sizeBytes % block)) % block;
}

/** Bytes of a source as they are asked for. */
function createInput(source: AsyncIterable<Uint8Array>) {
  const iterator = source[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array();
  /** At least one byte and at most so many. */
  const some = async (most: number): Promise<Uint8Array> => {
    while (held.length === 0) {
      const next = await iterator.next();
      if (next.done) throw new TarError("the archive ends in the middle");
      held = next.value;
    }
    const piece = held.subarray(0, most);
    held = held.subarray(piece.length);
    return piece;
  };
  async function* content(length: number): AsyncGenerator<Uint8Array> {
    for (let left = length; left > 0;) {
      const piece = await some(left);
      left -= piece.length;
      yield piece;
    }
  }
  return {
    content,
    async take(length: number): Promise<Uint8Array> {
      const pieces: Uint8Array[] = [];
      for await (const piece of content(length)) pieces.push(piece);
      return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    },
    async pass(length: number): Promise<void> {
      for await (const _piece of content(length));
    },
  };
}
