import { create, createFileRegistry, setExtension, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodOptionsSchema,
  type MethodOptions,
} from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { access, AccessSchema, Plane, Resource, Role } from "../../proto/gen/agyn/options/v1/options_pb.ts";
import { readContract } from "../../scripts/reference/contract.ts";
import { accessOf } from "../../server/src/api/interceptors/access.ts";
import { services } from "../../server/src/api/permissions.ts";

/** A method as somebody might add it to the contract. */
function methodWith(option?: MessageInitShape<typeof AccessSchema>): DescMethod {
  const options: MethodOptions = create(MethodOptionsSchema);
  if (option !== undefined) setExtension(options, access, create(AccessSchema, option));
  const method = { name: "Open", inputType: ".made.up.Empty", outputType: ".made.up.Empty", options };
  const file = create(FileDescriptorProtoSchema, {
    name: "made/up.proto",
    package: "made.up",
    syntax: "proto3",
    messageType: [{ name: "Empty" }],
    service: [{ name: "DoorService", method: [method] }],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return registry.getService("made.up.DoorService")!.methods[0]!;
}

const whole = { plane: Plane.USER, permission: "doors.open", role: Role.MEMBER, resource: Resource.SELF };

test("a method whose access option is missing or has a part missing stops the server and the check", () => {
  expect(accessOf(methodWith(whole))).toMatchObject({ permission: "doors.open", requiredRole: "member" });
  expect(() => accessOf(methodWith())).toThrow("made.up.DoorService.Open has no complete access option");
  for (const part of ["plane", "role", "resource"] as const) {
    expect(() => accessOf(methodWith({ ...whole, [part]: 0 })), part).toThrow(/no complete access option/);
  }
  expect(() => accessOf(methodWith({ ...whole, role: 99 as Role }))).toThrow(/no complete access option/);
});

test("a method that is not public names a permission that can be a token's scope", () => {
  for (const permission of ["", "doors", "Doors.open", "doors.open.wide", "*"]) {
    expect(() => accessOf(methodWith({ ...whole, permission })), permission).toThrow(
      /made.up.DoorService.Open names no permission such as runners.read/,
    );
  }
  expect(accessOf(methodWith({ ...whole, role: Role.PUBLIC, permission: "" })).requiredRole).toBe("public");
});

test("every service of the contract is one whose access the matrix tries", async () => {
  const { files } = await readContract();
  const inContract = files.flatMap((file) => file.services.map(({ typeName }) => typeName));
  const tried = services.map(({ typeName }) => typeName).filter((name) => name.startsWith("agyn."));
  expect(inContract.toSorted()).toEqual(tried.toSorted());
});
