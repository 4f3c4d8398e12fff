import { X509Certificate } from "node:crypto";
import { createToken, type Ca, type Model } from "../model.ts";
import { fingerprintOf, isIssuedUnder } from "../pki.ts";
import type { ControllerState } from "../state.ts";
import { adminOf } from "./api-sessions.ts";
import { base, changing, entityRoutes, making, type Kind } from "./entity-routes.ts";
import { ApiError, invalidField, notFound, type Answer, type Call, type Route } from "./http.ts";
import * as schemas from "./schemas.ts";

/** Authorities of others, whose certificates log in once somebody has shown that they hold the key. */
export function caRoutes(state: ControllerState): Route[] {
  return [...entityRoutes(state, cas(state.model)), [`POST ${base}/cas/:id/verify`, (call) => verify(state, call)]];
}

function cas({ cas: table }: Model): Kind<Ca> {
  return {
    table,
    symbols: ["isVerified", "isAuthEnabled", "fingerprint", "verificationToken"],
    toJson: (ca) => ({ ...ca, identityRoles: ca.identityRoles ?? [], _links: {} }),
    create: making(schemas.ca, (fields) => {
      checkClaim(fields);
      const certificate = certificateIn("certPem", fields.certPem);
      if (!certificate.ca) throw invalidField("certPem", "is no certificate of an authority", "");
      const fingerprint = fingerprintOf(certificate);
      if (table.find((other) => other.fingerprint === fingerprint)) {
        throw invalidField("certPem", `duplicate value '${fingerprint}' in unique index on cas store`, "", false);
      }
      return { ...fields, fingerprint, verificationToken: createToken(), isVerified: false };
    }),
    patch: changing(schemas.ca.omit({ certPem: true }).partial(), (fields) => {
      checkClaim(fields);
      return fields;
    }),
    remove: ({ id }) => void table.delete(id),
  };
}

/** Believes that somebody holds an authority's key: by a certificate that it issued for the token it was given. */
function verify(state: ControllerState, call: Call): Answer {
  adminOf(state, call);
  const ca = state.model.cas.get(call.params["id"] ?? "");
  if (ca === undefined) throw notFound(`ca ${call.params["id"]}`);
  if (call.headers["content-type"]?.split(";")[0] !== "text/plain") {
    throw invalidField("content-type", "must be text/plain", call.headers["content-type"]);
  }
  if (ca.isVerified) throw new ApiError(409, "CA_ALREADY_VERIFIED", "The CA has already been verified");
  const certificate = certificateIn("body", call.body.toString());
  const name = /^CN=(.*)$/m.exec(certificate.subject)?.[1];
  if (name !== ca.verificationToken || !isIssuedUnder(certificate, ca.certPem, [])) {
    const message = "The certificate was not issued by the CA, or its common name is not the verification token";
    throw new ApiError(400, "COULD_NOT_VALIDATE", message);
  }
  state.model.cas.update(ca, { isVerified: true });
  return { status: 200 };
}

function checkClaim({ externalIdClaim }: Partial<Ca>): void {
  const { location, matcher } = externalIdClaim ?? {};
  if (location === "SAN_URI" && matcher !== "ALL" && matcher !== "SCHEME") {
    throw invalidField("externalIdClaim.matcher", "must be ALL or SCHEME for SAN_URI", matcher);
  }
}

function certificateIn(field: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw invalidField(field, "is no certificate in PEM", "");
  }
}
