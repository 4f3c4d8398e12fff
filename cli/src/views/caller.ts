import type { Organization } from "../../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import type { User } from "../../../proto/gen/agyn/users/v1/users_service_pb.ts";
import type { Credentials } from "../credentials.ts";
import type { View } from "../view.ts";
import { organizationView, userView } from "./people.ts";

/** What the server said, or why it did not. */
export interface Known<T> {
  readonly value: T | undefined;
  readonly why: string;
}

/** Who calls, and by what. */
export interface Caller {
  readonly user: Known<User>;
  readonly organization: Known<Organization>;
  readonly credentials: Credentials;
}

export const callerView: View<Caller> = {
  noun: "callers",
  id: ({ user }) => user.value?.id ?? "",
  toJson: ({ user, organization, credentials: { gateway, gatewaySource, tokenSource } }) => ({
    ...(user.value && { user: userView.toJson(user.value) }),
    ...(organization.value && { organization: organizationView.toJson(organization.value) }),
    gateway,
    gatewaySource,
    tokenSource,
  }),
  columns: [],
  details: ({ user, organization, credentials: { gateway, gatewaySource, tokenSource } }) => [
    ["user", user.value ? nameAndId(user.value) : user.why],
    ["cluster admin", user.value?.clusterAdmin === true ? "yes" : ""],
    ["organization", organization.value ? nameAndId(organization.value) : organization.why],
    ["gateway", `${gateway}, from ${gatewaySource}`],
    ["access token", `from ${tokenSource}`],
  ],
};

function nameAndId({ name, id }: { name: string; id: string }): string {
  return `${name} (${id})`;
}
