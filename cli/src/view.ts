import { toJson, type DescEnum, type DescMessage, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "./durations.ts";
import type { Tone } from "./terminal.ts";

/** A column of a table. */
export interface Column<T> {
  readonly header: string;
  readonly value: (item: T, now: Date) => string;
  readonly tone?: (item: T) => Tone | undefined;
  /** Only with `-o wide`. */
  readonly isWide?: boolean;
}

/** How one noun is shown, in every format. */
export interface View<T> {
  /** In the plural, for an empty list. */
  readonly noun: string;
  readonly id: (item: T) => string;
  readonly columns: readonly Column<T>[];
  /** What `get` shows, line by line; an empty value leaves its line out. */
  readonly details: (item: T) => readonly (readonly [label: string, value: string])[];
  readonly toJson: (item: T) => JsonValue;
}

/** The JSON of a message, as every other client of the API sees it. */
export function messageJson<D extends DescMessage>(schema: D): (message: MessageShape<D>) => JsonValue {
  return (message) => toJson(schema, message);
}

/** How long ago, such as `3m`; `-` for never. */
export function age(time: Timestamp | undefined, now: Date): string {
  return time === undefined ? "-" : formatDuration(now.getTime() - timestampMs(time));
}

/** In full, for details; empty for never. */
export function instant(time: Timestamp | undefined): string {
  if (time === undefined) return "";
  const milliseconds = timestampMs(time);
  return Math.abs(milliseconds) <= 8.64e15 ? new Date(milliseconds).toISOString() : "out of range";
}

/** `a=1, b=2`, by key. */
export function pairs(map: Readonly<Record<string, string | number>>): string {
  return Object.entries(map)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, value]) => (value === "" ? key : `${key}=${value}`))
    .join(", ");
}

/** The words of an enum's value, such as `start-failed` of `OUTCOME_START_FAILED`. */
export function enumWord(description: DescEnum, value: number): string {
  const name = description.value[value]?.name;
  if (name === undefined) return `unknown (${value})`;
  return name
    .slice(description.sharedPrefix?.length ?? 0)
    .toLowerCase()
    .replaceAll("_", "-");
}

/** `1.5 GiB` and the like. */
export function formatBytes(bytes: bigint | number): string {
  let value = Number(bytes);
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (value < 1024 || unit === "TiB") return `${Number(value.toFixed(unit === "B" ? 0 : 1))} ${unit}`;
    value /= 1024;
  }
  return "";
}
