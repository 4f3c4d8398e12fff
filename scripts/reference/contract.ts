import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import {
  createFileRegistry,
  fromBinary,
  type AnyDesc,
  type DescEnum,
  type DescFile,
  type DescMessage,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { root, tool } from "../check/tools.ts";

const buildTimeout_ms = 60_000;

/** The contract with the comments of its sources. */
export type Contract = {
  files: readonly DescFile[];
  /** The comment before a thing of the contract, as one paragraph; empty where there is none. */
  commentOf(desc: AnyDesc): string;
};

/** Builds the contract anew from `proto/agyn`, since what is generated from it carries no comments. */
export async function readContract(): Promise<Contract> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-contract-"));
  try {
    const image = join(directory, "contract.binpb");
    const args = ["build", "--path", "proto/agyn", "--as-file-descriptor-set", "-o", image];
    await promisify(execFile)(process.execPath, [tool("@bufbuild/buf", "buf"), ...args], {
      cwd: root,
      timeout: buildTimeout_ms,
    });
    const set = fromBinary(FileDescriptorSetSchema, await readFile(image));
    const files = [...createFileRegistry(set).files].filter((file) => file.proto.package.startsWith("agyn."));
    return { files: files.toSorted((a, b) => (a.name < b.name ? -1 : 1)), commentOf };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function commentOf(desc: AnyDesc): string {
  const file = desc.kind === "file" ? desc : fileOf(desc);
  const wanted = pathOf(desc).join(".");
  const location = file.proto.sourceCodeInfo?.location.find((one) => one.path.join(".") === wanted);
  return (location?.leadingComments ?? "").trim().replaceAll(/\s*\n\s*/g, " ");
}

function fileOf(desc: Exclude<AnyDesc, DescFile>): DescFile {
  if ("file" in desc) return desc.file;
  return "parent" in desc && desc.parent !== undefined ? fileOf(desc.parent) : fileOfNothing(desc);
}

function fileOfNothing(desc: AnyDesc): never {
  throw new Error(`${desc.toString()} is in no file`);
}

/** The path of source locations: field numbers and indexes of descriptor.proto, alternating. */
function pathOf(desc: AnyDesc): number[] {
  switch (desc.kind) {
    case "file":
      return [];
    case "message":
      return typePath(desc, 4, 3);
    case "enum":
      return typePath(desc, 5, 4);
    case "enum_value":
      return [...pathOf(desc.parent), 2, desc.parent.values.indexOf(desc)];
    case "field":
      return [...pathOf(desc.parent), 2, desc.parent.fields.indexOf(desc)];
    case "oneof":
      return [...pathOf(desc.parent), 8, desc.parent.oneofs.indexOf(desc)];
    case "service":
      return [6, desc.file.services.indexOf(desc)];
    case "rpc":
      return [...pathOf(desc.parent), 2, desc.parent.methods.indexOf(desc)];
    case "extension":
      return [7, desc.file.extensions.indexOf(desc)];
  }
}

function typePath(desc: DescMessage | DescEnum, inFile: number, inMessage: number): number[] {
  const { parent, file, proto } = desc;
  const siblings = parent === undefined ? listOf(file.proto, desc) : nestedOf(parent, desc);
  const index = siblings.indexOf(proto);
  return parent === undefined ? [inFile, index] : [...pathOf(parent), inMessage, index];
}

function listOf({ messageType, enumType }: DescFile["proto"], desc: DescMessage | DescEnum): unknown[] {
  return desc.kind === "message" ? messageType : enumType;
}

function nestedOf({ proto }: DescMessage, desc: DescMessage | DescEnum): unknown[] {
  return desc.kind === "message" ? proto.nestedType : proto.enumType;
}
