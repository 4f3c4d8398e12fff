import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { limits } from "../../pipelines/limits.ts";
import { UsageError } from "./failures.ts";
import { readBounded } from "./read-file.ts";

interface Words {
  /** A project, or a local path. */
  readonly source: string;
  readonly pipeline: string | undefined;
  readonly ref: string | undefined;
}

interface RunSource {
  readonly project: string;
  readonly pipeline: string;
  readonly ref: string;
  readonly content: Uint8Array;
  /** A directory whose files the run is to have. */
  readonly directory: string | undefined;
}

/** Where a run's pipeline comes from: what holds a slash, or stands alone, is a local file; otherwise it is a project's. */
export async function findRunSource(cwd: string, { source, pipeline, ref }: Words): Promise<RunSource> {
  const isLocal = pipeline === undefined || source.includes("/") || source === "." || source === "..";
  if (!isLocal) return { project: source, pipeline, ref: ref ?? "", content: new Uint8Array(), directory: undefined };
  const path = resolve(cwd, source);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw missing(source);
  if (found.isDirectory()) return ofDirectory(path, { source, pipeline, ref });
  if (pipeline !== undefined) throw new UsageError(`${source} is a pipeline itself: "${pipeline}" is one too many`);
  if (ref !== undefined) throw new UsageError("--ref goes with a project: a local file has no other versions");
  const text = await readBounded(path, limits.file_bytes.value);
  if (text === "") throw new UsageError(`the pipeline ${source} is empty`);
  return { project: "", pipeline: basename(path), ref: "", content: Buffer.from(text), directory: undefined };
}

function ofDirectory(path: string, { source, pipeline, ref }: Words): RunSource {
  if (pipeline === undefined)
    throw new UsageError(`${source} is a directory: name the pipeline's path in it, such as pipelines/build.yaml`);
  if (ref !== undefined) throw new UsageError("--ref goes with a project: a directory has no other versions");
  return { project: "", pipeline, ref: "", content: new Uint8Array(), directory: path };
}

function missing(source: string): UsageError {
  return source.includes("/")
    ? new UsageError(`there is no file ${source}`)
    : new UsageError(
        `there is no file ${source}`,
        `if it is a project, name a pipeline, too: agynctl run ${source} pipelines/build.yaml`,
      );
}
