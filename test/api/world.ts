import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import { createClient, type Client, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter, createConnectTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { AccessTokensService } from "../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import { AuditService } from "../../proto/gen/agyn/audit/v1/audit_service_pb.ts";
import { ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";
import { OrganizationsService } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { Plane } from "../../proto/gen/agyn/options/v1/options_pb.ts";
import { ServerService } from "../../proto/gen/agyn/server/v1/server_service_pb.ts";
import { UsersService } from "../../proto/gen/agyn/users/v1/users_service_pb.ts";
import { createAccessTokensService } from "../../server/src/api/access-tokens-service.ts";
import { createAuditService } from "../../server/src/api/audit-service.ts";
import { createTriggerAuthenticator } from "../../server/src/api/authenticate-trigger.ts";
import { createAuthenticator } from "../../server/src/api/authenticate.ts";
import {
  createAuthenticationInterceptor,
  createAuthorizationInterceptor,
} from "../../server/src/api/interceptors/access.ts";
import { createErrorInterceptor } from "../../server/src/api/interceptors/errors.ts";
import { validateInterceptor } from "../../server/src/api/interceptors/validate.ts";
import { createOrganizationsService } from "../../server/src/api/organizations-service.ts";
import { createServerService } from "../../server/src/api/server-service.ts";
import { createUsersService } from "../../server/src/api/users-service.ts";
import { ensureFirstUser } from "../../server/src/first-start.ts";
import { ConnectError } from "@connectrpc/connect";
import { createTestDatabase, type TestDatabase } from "../support/postgres.ts";

/** For how long the server of these tests remembers a caller. */
const cache_ms = 500;

const log = pino({ level: "silent" });

/** The services of people and access on a listener of their own, after the first start. */
export type AccessWorld = {
  database: TestDatabase;
  adminToken: string;
  /** Calls with a token, or with none. */
  as: (token: string | undefined) => AccessClients;
  /** A new user with a token without limits. */
  createUser: (name: string, clusterAdmin?: boolean) => Promise<{ id: string; name: string; clients: AccessClients }>;
  close: () => Promise<void>;
};

export type AccessClients = {
  organizations: Client<typeof OrganizationsService>;
  users: Client<typeof UsersService>;
  tokens: Client<typeof AccessTokensService>;
  audit: Client<typeof AuditService>;
  server: Client<typeof ServerService>;
};

export async function openAccessWorld(): Promise<AccessWorld> {
  const database = await createTestDatabase();
  const { sql } = database;
  let adminToken = "";
  await ensureFirstUser({ sql, log, writeToken: async (text) => void (adminToken = text) });

  const authenticate = createAuthenticator({ sql, cache_ms });
  const access = {
    ...{ sql, plane: Plane.USER, authenticate, recheckPeriod_ms: 1000, checkRunner: async () => undefined },
    authenticateTrigger: createTriggerAuthenticator(sql),
  };
  const interceptors = [
    createErrorInterceptor(log, () => undefined),
    createAuthenticationInterceptor(access),
    validateInterceptor,
    createAuthorizationInterceptor(access),
  ];
  const about = { version: "0.0.0", trustDomain: "test", replicaId: "rep_test", runnerEndpoints: ["127.0.0.1:1"] };
  const server = createServer(
    connectNodeAdapter({
      interceptors,
      routes: (router) => {
        const serve = <T extends DescService>(service: T, handlers: ServiceImpl<T>) =>
          router.service(service, handlers);
        serve(OrganizationsService, createOrganizationsService({ sql }));
        serve(UsersService, createUsersService({ sql }));
        serve(AccessTokensService, createAccessTokensService({ sql }));
        serve(AuditService, createAuditService({ sql }));
        serve(ServerService, createServerService(about));
      },
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const as = (token: string | undefined): AccessClients => {
    const transport = createConnectTransport({
      baseUrl,
      httpVersion: "1.1",
      interceptors: [
        (next) => (request) => {
          if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
          return next(request);
        },
      ],
    });
    return {
      organizations: createClient(OrganizationsService, transport),
      users: createClient(UsersService, transport),
      tokens: createClient(AccessTokensService, transport),
      audit: createClient(AuditService, transport),
      server: createClient(ServerService, transport),
    };
  };

  return {
    database,
    adminToken,
    as,
    async createUser(name, clusterAdmin = false) {
      const { user, accessToken } = await as(adminToken).users.createUser({ name, clusterAdmin });
      return { id: user!.id, name, clients: as(accessToken) };
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await database.drop();
    },
  };
}

/** The closed reason a call fails with, or `ok`. */
export async function reasonOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    const [info] = ConnectError.from(error).findDetails(ErrorInfoSchema);
    return info?.reason ?? `no reason: ${String(error)}`;
  }
}
