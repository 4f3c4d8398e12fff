import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { createWorld } from "../support/world.ts";

test("a watch ends with UNAUTHENTICATED soon after its access token is revoked", async () => {
  await using world = await createWorld();
  const { token, accessToken } = await world.admin.tokens.createAccessToken({ name: "watcher" });
  const watching = world.clientsOf(token).runners.watchRunners({})[Symbol.asyncIterator]();
  await watching.next();

  await world.admin.tokens.revokeAccessToken({ accessToken: accessToken!.id });

  await expect(drain(watching)).rejects.toSatisfy((error) => ConnectError.from(error).code === Code.Unauthenticated);
});

test("a watch ends with NOT_FOUND soon after its caller is no longer a member", async () => {
  await using world = await createWorld();
  const { accessToken } = await world.admin.users.createUser({ name: "ann" });
  await world.admin.organizations.setMember({ organization: "default", user: "ann", role: 1 });
  const watching = world
    .clientsOf(accessToken)
    .runners.watchRunners({ organization: "default" })
    [Symbol.asyncIterator]();
  await watching.next();

  await world.admin.organizations.removeMember({ organization: "default", user: "ann" });

  await expect(drain(watching)).rejects.toSatisfy((error) => ConnectError.from(error).code === Code.NotFound);
});

async function drain(iterator: AsyncIterator<unknown>): Promise<void> {
  while (!(await iterator.next()).done);
}
