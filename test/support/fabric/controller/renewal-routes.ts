import { X509Certificate } from "node:crypto";
import type { Authenticator } from "../model.ts";
import { fingerprintOf } from "../pki.ts";
import type { ControllerState } from "../state.ts";
import { callerOf } from "./api-sessions.ts";
import { issueFor } from "./enrollments.ts";
import { bodyOf, invalidField, notFound, type Answer, type Call, type Route } from "./http.ts";
import { listAnswer, listQuery } from "./lists.ts";
import * as schemas from "./schemas.ts";

const base = "/edge/client/v1/current-identity/authenticators";

/** How an identity renews the certificate that the controller issued it: the old one counts until the new one was shown. */
export function renewalRoutes(state: ControllerState): Route[] {
  const pending = new Map<string, string>();

  function ownAuthenticator(call: Call): Authenticator {
    const { identity } = callerOf(state, call);
    const authenticator = state.model.authenticators.get(call.params["id"] ?? "");
    if (authenticator?.identityId !== identity.id || authenticator.method !== "cert") throw notFound("authenticator");
    return authenticator;
  }

  async function extend(call: Call): Promise<Answer> {
    const authenticator = ownAuthenticator(call);
    const { clientCertCsr } = bodyOf(call, schemas.extendByCsr);
    const clientCert = await issueFor(state, clientCertCsr, authenticator.identityId);
    pending.set(authenticator.id, clientCert);
    return { status: 200, data: { clientCert, ca: state.authority.caPem } };
  }

  function verify(call: Call): Answer {
    const authenticator = ownAuthenticator(call);
    const { clientCert } = bodyOf(call, schemas.verifyExtension);
    if (pending.get(authenticator.id)?.trim() !== clientCert.trim()) {
      throw invalidField("clientCert", "is not the certificate that was issued last", "");
    }
    pending.delete(authenticator.id);
    state.model.authenticators.update(authenticator, {
      certPem: clientCert,
      fingerprint: fingerprintOf(new X509Certificate(clientCert)),
      extendRequested: false,
      rollRequested: false,
    });
    return { status: 200 };
  }

  function list(call: Call): Answer {
    const { identity } = callerOf(state, call);
    const own = state.model.authenticators.all().filter(({ identityId }) => identityId === identity.id);
    return listAnswer(call, own.map(authenticatorJson));
  }

  return [
    [`GET ${base}`, list, listQuery],
    [`POST ${base}/:id/extend`, extend],
    [`POST ${base}/:id/extend-verify`, verify],
  ];
}

/** An authenticator as both APIs show it: never with its password. */
export function authenticatorJson(authenticator: Authenticator): object {
  const { id, identityId, method, createdAt, updatedAt, tags, fingerprint, certPem, username } = authenticator;
  const isIssuedByNetwork = method === "cert";
  return { id, identityId, method, createdAt, updatedAt, tags, fingerprint, certPem, username, isIssuedByNetwork };
}
