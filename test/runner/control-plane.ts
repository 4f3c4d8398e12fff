/**
 * The control plane's side of the runner protocol with a script in the place of its decisions: real TLS, real
 * certificates, real streams, and the test says what is answered.
 */
import http from "node:http";
import type { AddressInfo } from "node:net";
import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { createMtlsOverlay } from "../../overlay/mtls.ts";
import { openSecureServer } from "../../overlay/secure-server.ts";
import { LogsService, PushResponseSchema } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import {
  EnrollmentOfferSchema,
  IssuedIdentitySchema,
  RunnersService,
  type IssuedIdentity,
} from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import {
  TunnelResponseSchema,
  TunnelsService,
  type TunnelRequest,
} from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { ErrorInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";
import { createAuthority } from "../../server/src/identity/authority-material.ts";
import { openAuthority } from "../../server/src/identity/authority.ts";
import { signControlPlaneStatement } from "../../wire/control-plane-statement.ts";
import { createId } from "../../wire/ids.ts";
import { decodeChunk } from "../../wire/log-records.ts";
import { createServiceToken } from "../../wire/service-token.ts";
import { createTrustDomain } from "../../wire/spiffe.ts";
import { toTimestamp } from "../../runner/src/wire-time.ts";
import { ScriptedSession } from "./scripted-session.ts";
import { eventually } from "./eventually.ts";

const hourMs = 3_600_000;

/** A log as it arrived. */
export type ArrivedLog = { lines: string[]; isEnded: boolean };

export type ControlPlane = Awaited<ReturnType<typeof openControlPlane>>;

/** What is said over each tunnel that the runner opens. */
export type TunnelScript = (requests: AsyncIterator<TunnelRequest>) => AsyncIterable<TunnelSaid>;
export type TunnelSaid = NonNullable<MessageInitShape<typeof TunnelResponseSchema>["kind"]>;

// oxlint-disable-next-line require-yield -- the runner is left waiting
async function* sayNothing(): AsyncGenerator<TunnelSaid> {
  await new Promise(() => undefined);
}

/** What the test may change at any time. */
type Script = {
  /** Of the certificates that are issued. */
  certificateTtlMs: number;
  renewAfterMs: number;
  /** Why enrollments are refused, by reason. */
  enrollmentRefusal: string | undefined;
  /** Where the runner plane is said to be, if not where it listens. */
  endpoint: string | undefined;
  /** So many answers to renewals are lost after they were made. */
  lostRenewalReplies: number;
  tunnel: TunnelScript;
};

export async function openControlPlane() {
  const trustDomain = createTrustDomain();
  const authority = openAuthority(await createAuthority({ trustDomain, now: new Date(Date.now() - hourMs) }));
  const leaf = await authority.issueControlPlaneLeaf({ now: new Date(), ttl_ms: hourMs });
  const runnerId = createId("runner");
  const token = createServiceToken({ runnerId, rootPin: authority.rootPin });
  const script: Script = {
    certificateTtlMs: hourMs,
    renewAfterMs: hourMs / 2,
    enrollmentRefusal: undefined,
    endpoint: undefined,
    lostRenewalReplies: 0,
    tunnel: sayNothing,
  };
  const sessions: ScriptedSession[] = [];
  const logs = new Map<string, ArrivedLog>();
  const csrs: string[] = [];
  const metrics: number[] = [];
  let generation = 0;
  let refusedEnrollments = 0;

  const issue = async (csr: Uint8Array): Promise<IssuedIdentity> => {
    csrs.push(Buffer.from(csr).toString("base64"));
    generation += 1;
    const identityId = createId("identity");
    const now = new Date();
    const order = { csr, scope: { kind: "cluster" }, runnerId, identityId, generation, now } as const;
    const issued = await authority.issueRunnerCertificate({ ...order, ttl_ms: script.certificateTtlMs });
    if ("error" in issued) throw new ConnectError(issued.error, Code.InvalidArgument);
    return create(IssuedIdentitySchema, {
      identity: { id: identityId, generation: BigInt(generation), expireTime: toTimestamp(issued.notAfter.getTime()) },
      chainPem: issued.chainPem,
      trustBundlePem: authority.trustBundle,
      renewTime: toTimestamp(now.getTime() + script.renewAfterMs),
    });
  };

  const runnerPlane = (router: ConnectRouter): ConnectRouter =>
    router
      .service(OrchestratorService, {
        placements(requests, context) {
          const session = new ScriptedSession(requests, context.signal);
          sessions.push(session);
          return session.answers();
        },
      })
      .service(TunnelsService, {
        async *tunnel(requests) {
          for await (const kind of script.tunnel(requests[Symbol.asyncIterator]()))
            yield create(TunnelResponseSchema, { kind });
        },
      })
      .service(LogsService, {
        async *push(requests) {
          for await (const { chunks, ends } of requests) {
            const positions = [
              ...chunks.map((chunk) => take(logs, chunk)),
              ...ends.map(({ workloadId, fence, lineCount }) => {
                logOf(logs, workloadId).isEnded = true;
                return { workloadId, fence, nextLine: lineCount, ended: true };
              }),
            ];
            yield create(PushResponseSchema, { positions });
          }
        },
      })
      .service(RunnersService, {
        async renewIdentity({ csr }) {
          const identity = await issue(csr);
          if (script.lostRenewalReplies-- > 0) throw new ConnectError("the reply was lost", Code.Unavailable);
          return { identity };
        },
        async *metrics(requests) {
          for await (const { samples } of requests) {
            for (const sample of samples) metrics.push(sample.memoryTotalBytes === 0n ? 0 : 1);
            yield {};
          }
        },
      });

  const overlay = createMtlsOverlay({ services: { runners: { host: "127.0.0.1", port: 0 } } });
  const secure = openSecureServer({
    keyPem: leaf.key.export({ format: "pem", type: "pkcs8" }).toString(),
    chainPem: leaf.chainPem,
    rootPem: authority.trustBundle,
    clientIssuersPem: [authority.runnersIssuerPem],
    onRequest: connectNodeAdapter({ routes: runnerPlane }),
  });
  const listener = await overlay.listen("runners", (connection, from) => secure.accept(connection, from));

  const runnerPlaneAddress = `127.0.0.1:${listener.address.port}`;

  const userPlane = (router: ConnectRouter): ConnectRouter =>
    router.service(RunnersService, {
      startEnrollment() {
        const offer = create(EnrollmentOfferSchema, {
          trustDomain,
          runnerId,
          nonce: Buffer.alloc(32, 7),
          expireTime: toTimestamp(Date.now() + 60_000),
          trustBundlePem: authority.trustBundle,
          endpoints: [{ kind: { case: "mtls", value: script.endpoint ?? runnerPlaneAddress } }],
        });
        const payload = toBinary(EnrollmentOfferSchema, offer);
        const signature = signControlPlaneStatement(payload, leaf.key);
        return { offer: payload, signature, chainPem: leaf.fullChainPem };
      },
      async enroll({ csr }) {
        if (script.enrollmentRefusal !== undefined) {
          refusedEnrollments += 1;
          throw refusal(script.enrollmentRefusal);
        }
        return { identity: await issue(csr) };
      },
      async renewExpiredIdentity({ csr }) {
        return { identity: await issue(csr) };
      },
    });
  const gateway = http.createServer(connectNodeAdapter({ routes: userPlane }));
  await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve));

  return {
    script,
    sessions,
    logs,
    /** The certificate requests that came, oldest first. */
    csrs,
    metrics,
    get refusedEnrollments() {
      return refusedEnrollments;
    },
    runnerId,
    tokenText: token.text,
    runnerPlaneAddress,
    url: `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`,
    /** The session that comes as number `count`, welcomed with `welcome`. */
    async session(count: number, terms: Parameters<ScriptedSession["welcome"]>[0] = {}): Promise<ScriptedSession> {
      const session = await eventually(`session ${count}`, () => sessions[count - 1]);
      await session.hello;
      session.welcome({ sessionNumber: BigInt(count), ...terms });
      return session;
    },
    async close(): Promise<void> {
      await overlay.close();
      await secure.close({ grace_ms: 0 });
      gateway.closeAllConnections();
      await new Promise((resolve) => gateway.close(resolve));
    },
  };
}

/** An error as the control plane gives it for a reason. */
export function refusal(reason: string): ConnectError {
  const details = [
    { desc: ErrorInfoSchema, value: { reason, domain: "agyn" } satisfies MessageInitShape<typeof ErrorInfoSchema> },
  ];
  return new ConnectError(reason.toLowerCase(), Code.PermissionDenied, undefined, details);
}

type WireChunk = {
  workloadId: string;
  fence: bigint;
  firstLine: bigint;
  count: bigint;
  size: number;
  data: Uint8Array;
};

function take(logs: Map<string, ArrivedLog>, { workloadId, fence, ...chunk }: WireChunk) {
  const { lines } = logOf(logs, workloadId);
  const firstLine = Number(chunk.firstLine);
  // As the control plane does: a chunk is taken whole, and only where the log goes on.
  if (firstLine !== lines.length) return { workloadId, fence, nextLine: BigInt(lines.length) };
  for (const record of decodeChunk({ ...chunk, firstLine, count: Number(chunk.count) })) {
    if (record.kind === "line" && record.line === lines.length) lines.push(Buffer.from(record.bytes).toString());
  }
  return { workloadId, fence, nextLine: BigInt(lines.length) };
}

function logOf(logs: Map<string, ArrivedLog>, workloadId: string): ArrivedLog {
  const log = logs.get(workloadId) ?? { lines: [], isEnded: false };
  logs.set(workloadId, log);
  return log;
}
