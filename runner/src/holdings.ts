/**
 * What the runner holds, on disk: a journal of JSON lines, appended in batches. Only placements are synced before they
 * count (I4); the rest is found again by adopting, or is said twice, which does no harm.
 */
import { open, readFile, rename, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { holdingKey, type HeldResult, type HoldingRef, type Placement, type StopOrder } from "./holding.ts";
import type { LossTimes } from "./loss.ts";

/** When the control plane was last known to hear this runner, on the clock of one boot. */
export type Contact = { bootId: string; bootTimeMs: number; times: LossTimes };

/** A holding as an earlier process left it. */
export type StoredHolding = {
  placement: Placement;
  stop: StopOrder | undefined;
  result: HeldResult | undefined;
  acknowledged: boolean;
};

/** The journal is rewritten when it has grown by so many bytes since it was last compact. */
export const compactAfterBytes = 8 * 1024 * 1024;
/** Bytes that wait to be written; beyond it, placements are refused until the disk keeps up. */
export const maximumUnwrittenBytes = 16 * 1024 * 1024;

type Line =
  | { kind: "placed"; placement: StoredPlacement }
  | { kind: "stopped"; key: string; order: StopOrder }
  | { kind: "completed"; key: string; result: HeldResult }
  | { kind: "acknowledged"; key: string }
  | { kind: "gone"; key: string }
  | { kind: "contact"; contact: Contact };

type StoredPlacement = Omit<Placement, "fence"> & { fence: string };

type Waiting = { text: string; settle: PromiseWithResolvers<void> | undefined };

/**
 * Opens the journal of a data directory, with what an earlier process left in it. One that is not durable survives the
 * process, but not the machine.
 */
export async function openHoldings(options: { directory: string; isDurable?: boolean }): Promise<Holdings> {
  const { directory, isDurable = true } = options;
  const path = join(directory, "holdings.jsonl");
  const held = new Map<string, StoredHolding>();
  const contact = replay(await readIfThere(path), held);
  const holdings = new Holdings({ path, isDurable }, held, contact);
  await holdings.compact();
  return holdings;
}

export class Holdings {
  readonly #path: string;
  readonly #isDurable: boolean;
  readonly #held: Map<string, StoredHolding>;
  #contact: Contact | undefined;
  #file: FileHandle | undefined;
  #sizeBytes = 0;
  #compactBytes = 0;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;

  constructor(
    { path, isDurable }: { path: string; isDurable: boolean },
    held: Map<string, StoredHolding>,
    contact: Contact | undefined,
  ) {
    this.#path = path;
    this.#isDurable = isDurable;
    this.#held = held;
    this.#contact = contact;
  }

  /** Everything held. */
  list(): StoredHolding[] {
    return [...this.#held.values()];
  }

  get contact(): Contact | undefined {
    return this.#contact;
  }

  /** Records a placement; resolves when it is durable, rejects (and holds nothing) when it cannot be. */
  async record(placement: Placement): Promise<void> {
    if (this.#waitingBytes > maximumUnwrittenBytes) {
      throw new Error(`more than ${maximumUnwrittenBytes} bytes wait to be written to ${this.#path}`);
    }
    const key = holdingKey(placement);
    this.#held.set(key, newHolding(placement));
    const settle = Promise.withResolvers<void>();
    this.#append({ kind: "placed", placement: toStored(placement) }, settle);
    try {
      await settle.promise;
    } catch (error) {
      this.#held.delete(key);
      throw error;
    }
  }

  noteStopped(of: HoldingRef, order: StopOrder): void {
    this.#apply({ kind: "stopped", key: holdingKey(of), order });
  }

  noteCompleted(of: HoldingRef, result: HeldResult): void {
    this.#apply({ kind: "completed", key: holdingKey(of), result });
  }

  noteAcknowledged(of: HoldingRef): void {
    this.#apply({ kind: "acknowledged", key: holdingKey(of) });
  }

  noteContact(contact: Contact): void {
    this.#apply({ kind: "contact", contact });
  }

  remove(of: HoldingRef): void {
    this.#apply({ kind: "gone", key: holdingKey(of) });
  }

  /** Writes what waits and closes the file. */
  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Rewrites the journal with what is held only. */
  async compact(): Promise<void> {
    const lines: Line[] = this.#contact === undefined ? [] : [{ kind: "contact", contact: this.#contact }];
    for (const [key, { placement, stop, result, acknowledged }] of this.#held) {
      lines.push({ kind: "placed", placement: toStored(placement) });
      if (stop !== undefined) lines.push({ kind: "stopped", key, order: stop });
      if (result !== undefined) lines.push({ kind: "completed", key, result });
      if (acknowledged) lines.push({ kind: "acknowledged", key });
    }
    const bytes = Buffer.from(lines.map(toText).join(""));
    const file = await open(`${this.#path}.new`, "w", 0o600);
    try {
      await file.write(bytes, 0, bytes.length, 0);
      if (this.#isDurable) await file.sync();
      await rename(`${this.#path}.new`, this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file?.close();
    this.#file = file;
    this.#sizeBytes = bytes.length;
    this.#compactBytes = bytes.length;
  }

  #apply(line: Line): void {
    const contact = applyLine(line, this.#held);
    if (contact !== undefined) this.#contact = contact;
    this.#append(line, undefined);
  }

  #append(line: Line, settle: PromiseWithResolvers<void> | undefined): void {
    const text = toText(line);
    this.#waiting.push({ text, settle });
    this.#waitingBytes += text.length;
    this.#writing ??= this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      await this.#writeBatch(batch);
    }
    this.#writing = undefined;
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const bytes = Buffer.from(batch.map(({ text }) => text).join(""));
    try {
      if (this.#file === undefined) throw new Error(`${this.#path} is closed`);
      await writeWhole(this.#file, bytes, this.#sizeBytes);
      this.#sizeBytes += bytes.length;
      if (this.#isDurable && batch.some(({ settle }) => settle !== undefined)) await this.#file.datasync();
      for (const { settle } of batch) settle?.resolve();
      if (this.#sizeBytes - this.#compactBytes > compactAfterBytes) await this.compact();
    } catch (error) {
      for (const { settle } of batch) settle?.reject(error);
    }
  }
}

async function writeWhole(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}

/** Applies every whole line; a torn one at the end was never answered for. */
function replay(text: string, held: Map<string, StoredHolding>): Contact | undefined {
  let contact: Contact | undefined;
  for (const entry of text.split("\n")) {
    const line = fromText(entry);
    if (line !== undefined) contact = applyLine(line, held) ?? contact;
  }
  return contact;
}

function applyLine(line: Line, held: Map<string, StoredHolding>): Contact | undefined {
  switch (line.kind) {
    case "placed": {
      const placement = { ...line.placement, fence: BigInt(line.placement.fence) };
      held.set(holdingKey(placement), newHolding(placement));
      return undefined;
    }
    case "stopped": {
      const holding = held.get(line.key);
      if (holding !== undefined) holding.stop = line.order;
      return undefined;
    }
    case "completed": {
      const holding = held.get(line.key);
      if (holding !== undefined) holding.result = line.result;
      return undefined;
    }
    case "acknowledged": {
      const holding = held.get(line.key);
      if (holding !== undefined) holding.acknowledged = true;
      return undefined;
    }
    case "gone":
      held.delete(line.key);
      return undefined;
    case "contact":
      return line.contact;
  }
}

function newHolding(placement: Placement): StoredHolding {
  return { placement, stop: undefined, result: undefined, acknowledged: false };
}

function toStored(placement: Placement): StoredPlacement {
  return { ...placement, fence: String(placement.fence) };
}

function toText(line: Line): string {
  return `${JSON.stringify(line)}\n`;
}

function fromText(text: string): Line | undefined {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
