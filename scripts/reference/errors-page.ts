import type { Contract } from "./contract.ts";
import { heading, table } from "./markdown.ts";

/** The closed set of reasons for which a call can fail. */
export function errorsPage({ files, commentOf }: Contract): string {
  const reasons = files.flatMap((file) => file.enums).find((one) => one.typeName === "agyn.errors.v1.Reason");
  if (reasons === undefined) throw new Error("the contract has no agyn.errors.v1.Reason");

  const rows = reasons.values
    .filter((value) => value.number !== 0)
    .map((value) => {
      const [code = "", ...rest] = commentOf(value).split(": ");
      return [`\`${value.name.replace("REASON_", "")}\``, code, rest.join(": ")];
    });
  return `${heading("Error reasons", "`proto/agyn/errors/v1/errors.proto`")}
A call that fails carries one of these in \`google.rpc.ErrorInfo.reason\`, with the domain \`agyn\`, beside the gRPC code and a message
for people. \`google.rpc.BadRequest\` names each field that breaks a rule, \`google.rpc.RetryInfo\` says when to come back where trying
again makes sense. Streams end with the same details. \`Disconnect.reason\` and \`LogPosition.refused\` hold one of them, too.

${table(["reason", "gRPC code", "when"], rows)}
`;
}
