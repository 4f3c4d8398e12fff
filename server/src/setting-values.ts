import { isIP } from "node:net";
import { isCidr } from "./identity/source-address.ts";

/** An address to listen on or to dial. */
export type Address = { host: string; port: number };

/** A mistake in the configuration, for the operator to mend. */
export class ConfigError extends Error {}

const unit_ms: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration in ms. */
export function parseDuration(name: string, text: string, range?: readonly [string, string]): number {
  const match = /^([0-9]{1,9})(ms|s|m|h|d)$/.exec(text);
  if (!match) throw new ConfigError(`${name}: "${text}" is not a duration such as 250ms, 10s, 5m, 8h or 14d`);
  const value_ms = Number(match[1]) * unit_ms[match[2]!]!;
  if (range === undefined) return value_ms;
  const [least, most] = range;
  if (value_ms < parseDuration(name, least) || value_ms > parseDuration(name, most))
    throw new ConfigError(`${name}: "${text}" is not from ${least} to ${most}`);
  return value_ms;
}

/** `host:port`, an IPv6 host in brackets; throws a ConfigError that names the setting. */
export function parseAddress(name: string, text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]+)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535)
    throw new ConfigError(`${name}: "${text}" is not an address such as 127.0.0.1:7070 or [::1]:7070`);
  return { host: match[1] ?? match[2]!, port };
}

/** Both bounds are allowed; throws a ConfigError that names the setting. */
export function parseInteger(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new ConfigError(`${name}: "${text}" is not a whole number from ${least} to ${most}`);
  return value;
}

/** A flag without a value is true; throws a ConfigError that names the setting. */
export function parseBoolean(name: string, text: string): boolean {
  if (text === "true" || text === "") return true;
  if (text === "false") return false;
  throw new ConfigError(`${name}: "${text}" is not true or false`);
}

/** Addresses and networks between commas; throws a ConfigError that names the setting. */
export function parseNetworks(name: string, text: string): string[] {
  const networks = text.split(",").flatMap((one) => (one.trim() === "" ? [] : [one.trim()]));
  const wrong = networks.find((one) => !isCidr(one));
  if (wrong === undefined) return networks;
  throw new ConfigError(`${name}: "${wrong}" is not an address or a network such as 10.0.0.0/8`);
}

/** How a setting's name is written on a command line: `runner_listen` as `--runner-listen`. */
export function flagOf(name: string): string {
  return `--${name.replaceAll("_", "-")}`;
}

/** Names the valid one that is nearest. */
export function unknown(message: string, name: string, valid: readonly string[]): ConfigError {
  const nearest = valid.toSorted((a, b) => distance(name, a) - distance(name, b))[0]!;
  return new ConfigError(`${message}: did you mean "${nearest}"?`);
}

/** The edit distance of two short texts (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + change));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Whether only this machine reaches the host. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Whether the host stands for every address of this machine. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || (isIP(host) === 6 && /^[0:]+$/.test(host));
}
