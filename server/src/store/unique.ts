import { AgynError } from "../domain/errors.ts";

/** Whether PostgreSQL refused a row because of a unique index. */
export function isUniqueViolation(error: unknown): boolean {
  return typeof error === "object" && error !== null && "code" in error && error.code === "23505";
}

/** Lets `NAME_TAKEN` with this text stand for what a unique index of names refused. */
export function orNameTaken(text: string): (error: unknown) => never {
  return (error) => {
    if (isUniqueViolation(error)) throw new AgynError("NAME_TAKEN", text);
    throw error;
  };
}
