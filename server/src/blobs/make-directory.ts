import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Makes a directory, 0700, with those above it that are missing. Rejects with what the system says: unlike `mkdir` with `recursive`,
 * which tries without end where nothing can be made although what is above is there, as below `/proc`.
 */
export async function makeDirectory(path: string): Promise<void> {
  try {
    return await makeOne(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || dirname(path) === path) throw error;
  }
  await makeDirectory(dirname(path));
  await makeOne(path);
}

/** One that is there already does as well. */
async function makeOne(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === "EEXIST" && (await stat(path)).isDirectory();
    if (!isThere) throw error;
  }
}
