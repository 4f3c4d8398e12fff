import { UsageError } from "./failures.ts";

/** A port here, 0 for any free one, and one of a workload. */
export type Ports = { here: number; there: number };

/** The ports that `8080:80`, `80` or `:80` mean; a UsageError where it is none of these. */
export function parsePorts(text: string): Ports {
  const match = /^(?:(\d{0,5}):)?(\d{1,5})$/.exec(text);
  const there = Number(match?.[2]);
  const here = match?.[1] === undefined ? there : Number(match[1]);
  if (match && there >= 1 && there <= 65_535 && here <= 65_535) return { here, there };
  throw new UsageError(`ports "${text}": write here:there, such as 8080:80, each from 1 to 65535`);
}
