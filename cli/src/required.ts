import { exitCodes, Failure } from "./failures.ts";

/** A part of an answer that the contract promises. */
export function required<T>(value: T | undefined, noun: string): T {
  if (value === undefined)
    throw new Failure(`the server's answer lacks the ${noun}: is it another version?`, exitCodes.failure);
  return value;
}
