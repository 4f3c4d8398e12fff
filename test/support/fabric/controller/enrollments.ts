import { X509Certificate } from "node:crypto";
import { signJwt } from "../jwt.ts";
import { createToken, type Authenticator, type Enrollment, type Identity } from "../model.ts";
import { fingerprintOf } from "../pki.ts";
import type { ControllerState } from "../state.ts";
import { bodyOf, ApiError, invalidField, type Answer, type Call, type Route } from "./http.ts";
import * as schemas from "./schemas.ts";

/** Opens the way for an identity to enroll once, until `expiresAt`. Throws ENROLLMENT_EXISTS where there is one. */
export function createEnrollment(state: ControllerState, identity: Identity, expiresAt: Date): Enrollment {
  const { model } = state;
  if (model.enrollments.find(({ identityId }) => identityId === identity.id) !== undefined) {
    throw new ApiError(
      409,
      "ENROLLMENT_EXISTS",
      "ENROLLMENT_EXISTS: The identity already has an outstanding enrollment",
    );
  }
  if (model.authenticators.find(({ identityId, method }) => identityId === identity.id && method === "cert")) {
    const message = "The identity is already enrolled";
    throw new ApiError(409, "ENROLLMENT_IDENTITY_ALREADY_ENROLLED", message);
  }
  const token = createToken();
  const jwt = signEnrollment(state, { identityId: identity.id, token, expiresAt });
  return model.enrollments.insert({ method: "ott", identityId: identity.id, token, jwt, expiresAt });
}

/** Signs what a device gets: with the key of the controller's TLS certificate. */
export function signEnrollment(
  state: ControllerState,
  enrollment: Pick<Enrollment, "identityId" | "token" | "expiresAt">,
): string {
  const claims = {
    iss: state.origin(),
    sub: enrollment.identityId,
    aud: [""],
    exp: Math.floor(enrollment.expiresAt.getTime() / 1000),
    jti: enrollment.token,
    em: "ott",
    ctrls: [`tls:${new URL(state.origin()).host}`],
  };
  return signJwt(claims, state.identity.keyPem);
}

/** What a device calls to become an identity: the bundle of authorities, and the exchange of its token. */
export function enrollmentRoutes(state: ControllerState): Route[] {
  return [
    ["GET /.well-known/est/cacerts", (call) => cacerts(state, call)],
    ["POST /edge/client/v1/enroll", (call) => enrollByPem(state, call), ["method", "token"]],
    ["POST /edge/client/v1/enroll/ott", (call) => enrollByJson(state, call)],
  ];
}

/** Records the certificate that a controller issued for an identity. */
export function addCertificate(state: ControllerState, identityId: string, certPem: string): Authenticator {
  return state.model.authenticators.insert({
    identityId,
    method: "cert",
    fingerprint: fingerprintOf(new X509Certificate(certPem)),
    certPem,
  });
}

/** Issues a certificate for the key of a request, or refuses the request. */
async function issueFor(state: ControllerState, csrPem: string, identityId: string): Promise<string> {
  try {
    return await state.authority.issueClient(csrPem, identityId);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ApiError(400, "COULD_NOT_PROCESS_CSR", `The CSR could not be processed: ${reason}`);
  }
}

function cacerts({ authority }: ControllerState, { headers }: Call): Answer {
  if (headers.accept !== "application/pkcs7-mime") {
    throw invalidField("accept", "must be application/pkcs7-mime", headers.accept);
  }
  return {
    status: 200,
    headers: { "content-transfer-encoding": "base64" },
    raw: { type: "application/pkcs7-mime", body: authority.pkcs7() },
  };
}

async function enrollByPem(state: ControllerState, call: Call): Promise<Answer> {
  if (call.query.get("method") !== "ott") throw invalidField("method", "must be ott", call.query.get("method"));
  const type = call.headers["content-type"]?.split(";")[0] ?? "";
  if (!["text/plain", "application/x-pem-file"].includes(type)) {
    throw invalidField("content-type", "must be text/plain or application/x-pem-file", type);
  }
  const certPem = await enroll(state, call.query.get("token") ?? "", call.body.toString());
  if (call.headers.accept?.includes("application/json")) return enrolled(state, certPem);
  return { status: 200, raw: { type: "application/x-pem-file", body: certPem } };
}

async function enrollByJson(state: ControllerState, call: Call): Promise<Answer> {
  const { token, clientCsr } = bodyOf(call, schemas.enrollmentByCsr);
  return enrolled(state, await enroll(state, token, clientCsr));
}

function enrolled({ authority }: ControllerState, cert: string): Answer {
  return { status: 200, data: { cert, ca: authority.caPem } };
}

/** Exchanges a token for a certificate. The token is used up only if that succeeds. */
async function enroll(state: ControllerState, token: string, csrPem: string): Promise<string> {
  const { model } = state;
  const enrollment = model.enrollments.find((one) => one.token === token);
  if (enrollment === undefined) {
    throw new ApiError(400, "INVALID_ENROLLMENT_TOKEN", "The supplied token is not valid");
  }
  if (enrollment.expiresAt <= state.now()) throw new ApiError(400, "ENROLLMENT_EXPIRED", "The enrollment has expired");
  const certPem = await issueFor(state, csrPem, enrollment.identityId);
  if (!model.enrollments.delete(enrollment.id)) {
    throw new ApiError(400, "INVALID_ENROLLMENT_TOKEN", "The supplied token is not valid");
  }
  addCertificate(state, enrollment.identityId, certPem);
  return certPem;
}
