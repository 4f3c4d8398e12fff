import type { TarBounds } from "../../wire/tar.ts";

/** Of one copy: what a hostile workload may do to the disk here. */
export const copyBounds = { entries: 200_000, bytes: 64 * 1024 ** 3 } as const satisfies TarBounds;
