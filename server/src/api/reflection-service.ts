import { toBinary, type DescFile, type DescService, type MessageInitShape } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import type {
  ServerReflection,
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from "../../../proto/gen/grpc/reflection/v1/reflection_pb.ts";

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** gRPC reflection over these services and all that their files import. */
export function createReflectionService(services: readonly DescService[]): ServiceImpl<typeof ServerReflection> {
  const files = new Map<string, DescFile>();
  for (const service of services) collect(service.file, files);
  const bySymbol = new Map<string, DescFile>();
  for (const file of files.values()) for (const name of symbolsOf(file)) bySymbol.set(name, file);

  const answer = ({ messageRequest: asked }: ServerReflectionRequest): Answer => {
    switch (asked.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: services.map(({ typeName }) => ({ name: typeName })) },
        };
      case "fileByFilename":
        return withImports(files.get(asked.value), asked.value);
      case "fileContainingSymbol":
        return withImports(bySymbol.get(asked.value), asked.value);
      case "fileContainingExtension":
      case "allExtensionNumbersOfType":
      case undefined:
        return notFound("extensions are found by the file that declares them");
    }
  };
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield { validHost: request.host, originalRequest: request, messageResponse: answer(request) };
      }
    },
  };
}

/** A file and everything it imports, so that a client can build it from one answer. */
function withImports(file: DescFile | undefined, asked: string): Answer {
  if (!file) return notFound(`there is no ${asked}`);
  const needed = new Map<string, DescFile>();
  collect(file, needed);
  const fileDescriptorProto = [...needed.values()].map((one) => toBinary(FileDescriptorProtoSchema, one.proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function collect(file: DescFile, into: Map<string, DescFile>): void {
  if (into.has(file.proto.name)) return;
  into.set(file.proto.name, file);
  for (const dependency of file.dependencies) collect(dependency, into);
}

function symbolsOf(file: DescFile): string[] {
  const types = [...nestedTypes(file)].flatMap((type) => ("typeName" in type ? [type.typeName] : []));
  const methods = file.services.flatMap((service) =>
    service.methods.map((method) => `${service.typeName}.${method.name}`),
  );
  return [...types, ...methods];
}

function notFound(message: string): Answer {
  return { case: "errorResponse", value: { errorCode: Code.NotFound, errorMessage: message } };
}
