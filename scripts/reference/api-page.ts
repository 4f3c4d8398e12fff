import { ScalarType, type DescEnum, type DescField, type DescMessage, type DescMethod } from "@bufbuild/protobuf";
import { Plane, ResourceSchema, RoleSchema } from "../../proto/gen/agyn/options/v1/options_pb.ts";
import { accessOf } from "../../server/src/api/interceptors/access.ts";
import type { Contract } from "./contract.ts";
import { limitsOf } from "./limits.ts";
import { heading, table } from "./markdown.ts";

const kinds = {
  unary: "",
  server_streaming: "answers a stream",
  client_streaming: "takes a stream",
  bidi_streaming: "streams both ways",
} as const;

/** Every method, message and field of the contract, with limits and permissions. */
export function apiPage({ files, commentOf }: Contract): string {
  const parts = [heading("Methods and messages", "`proto/agyn`"), introduction];
  for (const file of files.filter((one) => one.services.length > 0)) {
    for (const service of file.services) {
      parts.push(`## ${service.typeName}\n\n${commentOf(service)}\n`, methodTable(service.methods, commentOf));
    }
  }
  for (const file of files) {
    const types = [...file.messages, ...file.enums].filter((one) => isPublic(one.typeName));
    if (types.length === 0) continue;
    parts.push(`## Messages of ${file.proto.package} (\`${file.name}.proto\`)\n`);
    for (const message of file.messages) parts.push(messageText(message, commentOf));
    for (const one of file.enums) parts.push(enumText(one, commentOf));
  }
  return `${parts.join("\n")}\n`;
}

const introduction = `Each method exists on one listener: the user port, or the runner plane. A call carries an access token
(\`authorization: Bearer agyn_pat_…\`) on the user port and a runner's certificate on the runner plane; public methods need neither.
The permission is also the scope that an access token may be restricted to. The role is the least that has it, in the organization or
cluster that the named field leads to. Limits are checked before anything else looks at a request.
`;

/** The options and the error reasons have their own places. */
function isPublic(typeName: string): boolean {
  return !typeName.startsWith("agyn.options.") && !typeName.startsWith("agyn.errors.");
}

function methodTable(methods: readonly DescMethod[], commentOf: Contract["commentOf"]): string {
  const rows = methods.map((method) => {
    const rule = accessOf(method);
    const name = `\`${method.name}\``;
    const kind = kinds[method.methodKind];
    const what = [commentOf(method), kind === "" ? "" : `*${kind}*`].join(" ").trim();
    const plane = rule.plane === Plane.RUNNER ? "runner" : "user";
    const role = wordOf(RoleSchema, rule.role) + (rule.orClusterAdmin ? ", or cluster admin" : "");
    const where = wordOf(ResourceSchema, rule.resource) + (rule.field === "" ? "" : ` (\`${rule.field}\`)`);
    return [name, what, plane, rule.permission === "" ? "" : `\`${rule.permission}\``, role, where];
  });
  return `${table(["method", "what it does", "listener", "permission", "least role", "on"], rows)}\n`;
}

/** `ROLE_CLUSTER_ADMIN` as `cluster admin`. */
function wordOf({ sharedPrefix = "", values }: DescEnum, number: number): string {
  const name = values.find((value) => value.number === number)?.name ?? "";
  return name.slice(sharedPrefix.length).toLowerCase().replaceAll("_", " ");
}

function messageText(message: DescMessage, commentOf: Contract["commentOf"]): string {
  const nested = [
    ...message.nestedMessages.filter((one) => !isMapEntry(one)).map((one) => messageText(one, commentOf)),
    ...message.nestedEnums.map((one) => enumText(one, commentOf)),
  ];
  const rows = message.fields.map((field) => {
    const choice =
      field.oneof === undefined || field.oneof.name.startsWith("_") ? "" : `one of \`${field.oneof.name}\``;
    const about = [commentOf(field), choice].filter((text) => text !== "").join(" ");
    return [String(field.number), `\`${field.name}\``, typeOf(field), about, limitsOf(field)];
  });
  const body = rows.length === 0 ? "No fields.\n" : `${table(["#", "field", "type", "", "limits"], rows)}\n`;
  const comment = commentOf(message);
  return [`### ${shortName(message)}\n`, ...(comment === "" ? [] : [`${comment}\n`]), body, ...nested].join("\n");
}

function enumText(one: DescEnum, commentOf: Contract["commentOf"]): string {
  const rows = one.values.map((value) => [String(value.number), `\`${value.name}\``, commentOf(value)]);
  const comment = commentOf(one);
  return [
    `### ${shortName(one)}\n`,
    ...(comment === "" ? [] : [`${comment}\n`]),
    `${table(["#", "value", ""], rows)}\n`,
  ].join("\n");
}

function shortName({ typeName, file }: DescMessage | DescEnum): string {
  return typeName.slice(file.proto.package.length + 1);
}

function isMapEntry({ proto }: DescMessage): boolean {
  return proto.options?.mapEntry === true;
}

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case "scalar":
      return ScalarType[field.scalar].toLowerCase();
    case "enum":
      return field.enum.name;
    case "message":
      return field.message.name;
    case "list":
      return `repeated ${elementOf(field)}`;
    case "map":
      return `map of ${ScalarType[field.mapKey].toLowerCase()} to ${elementOf(field)}`;
  }
}

function elementOf({ message, enum: enumeration, scalar }: Extract<DescField, { fieldKind: "list" | "map" }>): string {
  if (message !== undefined) return message.name;
  if (enumeration !== undefined) return enumeration.name;
  return scalar === undefined ? "" : ScalarType[scalar].toLowerCase();
}
