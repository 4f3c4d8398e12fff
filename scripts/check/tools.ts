import { fileURLToPath } from "node:url";
import { join } from "node:path";

/** The folder of the repository. */
export const root: string = fileURLToPath(new URL("../..", import.meta.url));

/** Where the installed commands are. */
export const binaries: string = join(root, "node_modules", ".bin");

/** The script of an installed tool, to be run with this process's Node. */
export function tool(packageName: string, script: string = packageName): string {
  return join(root, "node_modules", packageName, "bin", script);
}
