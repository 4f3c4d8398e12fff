import { closeSync, readdirSync, readFileSync } from "node:fs";

/** `O_CLOEXEC` of Linux, which `/proc/<pid>/fdinfo` shows among the flags. */
const closeOnExec = 0o2000000;

/**
 * Closes what this process was started with beside standard input, output and error: every job would inherit it. Node marks only
 * the low ones close-on-exec; its own are marked from the start, and stay.
 */
export function closeInheritedDescriptors(): void {
  for (const descriptor of readdirSync("/proc/self/fd").map(Number)) {
    if (descriptor > 2 && isInheritable(descriptor)) closeSync(descriptor);
  }
}

/** `false` also for one that is gone, such as that of the listing itself. */
function isInheritable(descriptor: number): boolean {
  try {
    const [, flags = "0"] =
      /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "latin1")) ?? [];
    return (Number.parseInt(flags, 8) & closeOnExec) === 0;
  } catch {
    return false;
  }
}
