import { SecretSchema, type Secret } from "../../../proto/gen/agyn/secrets/v1/secrets_service_pb.ts";
import { age, instant, messageJson, type View } from "../view.ts";

export const secretView: View<Secret> = {
  noun: "secrets",
  id: ({ name }) => name,
  toJson: messageJson(SecretSchema),
  columns: [
    { header: "NAME", value: ({ name }) => name },
    { header: "PROJECT", value: ({ projectName, projectId }) => projectName || projectId || "-" },
    { header: "SET", value: ({ setTime }, now) => age(setTime, now) },
    { header: "BY", value: ({ setBy }) => setBy },
    { header: "USED", value: ({ lastUseTime }, now) => age(lastUseTime, now) },
  ],
  details: (secret) => [
    ["name", secret.name],
    ["organization", secret.organizationId],
    ["project", secret.projectName || secret.projectId],
    ["set", instant(secret.setTime)],
    ["set by", secret.setBy],
    ["created", instant(secret.createTime)],
    ["last used", instant(secret.lastUseTime)],
  ],
};
