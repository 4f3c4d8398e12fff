import { create, createFileRegistry } from "@bufbuild/protobuf";
import type { GenService } from "@bufbuild/protobuf/codegenv2";
import {
  FileDescriptorProtoSchema,
  file_google_protobuf_wrappers,
  type StringValueSchema,
} from "@bufbuild/protobuf/wkt";

const file = create(FileDescriptorProtoSchema, {
  name: "echo.proto",
  package: "test",
  syntax: "proto3",
  dependency: ["google/protobuf/wrappers.proto"],
  service: [
    {
      name: "EchoService",
      method: [
        {
          name: "Echo",
          inputType: ".google.protobuf.StringValue",
          outputType: ".google.protobuf.StringValue",
          clientStreaming: true,
          serverStreaming: true,
        },
      ],
    },
  ],
});

type Echo = { methodKind: "bidi_streaming"; input: typeof StringValueSchema; output: typeof StringValueSchema };

/** A service of one bidirectional method that needs none of the contract. */
export const EchoService = createFileRegistry(file, () => file_google_protobuf_wrappers).getService(
  "test.EchoService",
) as GenService<{ echo: Echo }>;
