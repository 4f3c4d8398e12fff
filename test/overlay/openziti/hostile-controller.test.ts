import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OverlayError } from "../../../overlay/errors.ts";
import { openManagement } from "../../../overlay/openziti/management.ts";
import { createOpenZitiOverlay } from "../../../overlay/openziti/openziti.ts";
import { createFabricAuthority } from "../../support/fabric/pki.ts";

/** What a controller answers: status, headers, body. `undefined` ends the connection in the middle of an answer. */
type Answer = { readonly status: number; readonly location: string | undefined; readonly body: string } | undefined;

let answers: Iterator<Answer>;
let server: https.Server;
let url: string;
let credential: { keyPem: string; certPem: string; caPem: string };

beforeAll(async () => {
  const authority = await createFabricAuthority();
  const { keyPem: key, certPem: cert } = await authority.issueServer("hostile");
  credential = { ...(await authority.createClient("us")), caPem: authority.caPem };
  server = https.createServer({ key, cert }, (_request, response) => {
    const answer = answers.next().value as Answer;
    if (answer === undefined)
      return void response.writeHead(200, { "content-length": 9 }).write("{", () => response.destroy());
    const { status, location, body } = answer;
    response.writeHead(status, location === undefined ? {} : { location }).end(body);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

/** What answers are made of: what clients look for, with anything in it. */
const routers = fc.array(
  fc.record({
    name: fc.string(),
    supportedProtocols: fc.dictionary(
      fc.constantFrom("tls", "wss"),
      fc.constantFrom("tls://127.0.0.1:1", "tls://x", "", "::"),
    ),
  }),
  { maxLength: 3 },
);
const data = fc.record(
  {
    id: fc.oneof(fc.string(), fc.jsonValue()),
    name: fc.constantFrom("control-plane", ""),
    version: fc.constantFrom("v2.0.3", "v1.6.20", "", "v99999999999999999999."),
    capabilities: fc.constantFrom(["OIDC_AUTH"], []),
    token: fc.constantFrom("token", "", "\u0000"),
    encryptionRequired: fc.boolean(),
    permissions: fc.constantFrom(["Dial", "Bind"], ["?"]),
    edgeRouters: fc.option(routers),
    expirationSeconds: fc.constantFrom(1800, -1, 1e300, 0.001),
    enrollment: fc.jsonValue(),
    authenticators: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const envelope = fc.oneof(
  fc.record({ data, meta: fc.constant({ pagination: { totalCount: 1e9 } }) }),
  fc.record({ data: fc.array(data, { maxLength: 3 }), meta: fc.constant({ pagination: { totalCount: 3 } }) }),
  fc.record({
    error: fc.record({ code: fc.string(), message: fc.string(), cause: fc.jsonValue() }, { requiredKeys: [] }),
  }),
  fc.record({ access_token: fc.string(), refresh_token: fc.string(), expires_in: fc.constantFrom(1e300, 1, -1) }),
  fc.jsonValue(),
);
const locations = fc.constantFrom(
  "/oidc/login/cert?authRequestID=one",
  "http://localhost:8080/auth/callback?code=a&state=b",
  "http://localhost:8080/auth/callback?error=no",
  "//elsewhere.example/",
  "https://[::",
  "/again",
);
const answer: fc.Arbitrary<Answer> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({
      status: fc.constantFrom(200, 200, 200, 201, 302, 302, 400, 401, 404, 409, 429, 500, 503),
      location: fc.option(locations, { nil: undefined }),
      body: fc.oneof({ weight: 9, arbitrary: envelope.map((value) => JSON.stringify(value)) }, fc.string()),
    }),
  },
  fc.constant(undefined),
);

/** What a client asks of a controller. Everything is waited for, whatever comes of it. */
async function askAll(sessions: "oidc" | "legacy" | undefined): Promise<unknown[]> {
  const settings = { backOff_ms: 1, connectTimeout_ms: 20_000 };
  const overlay = createOpenZitiOverlay({
    controller: [url, url],
    credential: () => credential,
    settings,
    ...(sessions !== undefined && { sessions }),
  });
  const { keyPem, certPem, caPem } = credential;
  const management = openManagement(url, caPem, { kind: "certificate", keyPem, certPem });
  const signal = AbortSignal.timeout(20_000);
  const outcomes = await Promise.allSettled([
    overlay.services(),
    overlay.dial({ service: "control-plane" }),
    overlay.listen("control-plane", (connection) => connection.destroy()),
    management.version(signal),
    management.list("services", "true", signal),
    management.get("identities", "one", signal),
    management.create("services", { name: "one" }, signal),
    management.openEnrollment("one", new Date(0), signal),
    management.routers(signal),
    management.advice("one", "two", signal),
  ]);
  await overlay.close();
  management.close();
  return outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
}

test.each(["oidc", "legacy", undefined] as const)(
  "whatever a controller answers, calls end in known ways and in readable words (sessions: %s)",
  async (sessions) => {
    const property = fc.asyncProperty(fc.infiniteStream(answer), async (stream) => {
      answers = stream;
      for (const error of await askAll(sessions)) {
        expect(error).toBeInstanceOf(OverlayError);
        expect((error as OverlayError).message).toMatch(/^[^\p{Cc}]{1,1000}$/u);
      }
    });
    await fc.assert(property, { numRuns: 40 });
  },
);
