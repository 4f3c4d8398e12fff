import { verify, type KeyObject } from "node:crypto";
import { z } from "zod";
import { OverlayError } from "../errors.ts";

/** What a one-time enrollment token says. */
export interface EnrollmentToken {
  /** Where the controller is, and whose key signed this. */
  readonly issuer: URL;
  readonly identityId: string;
  /** What may be used once. */
  readonly id: string;
}

/** Longest token that is read, in characters. */
const maxToken = 16_384;

/** What controllers sign with: the hash, and the key it needs. */
const algorithms: Readonly<Record<string, { hash: string; type: string; curve?: string }>> = {
  RS256: { hash: "sha256", type: "rsa" },
  ES256: { hash: "sha256", type: "ec", curve: "prime256v1" },
  ES384: { hash: "sha384", type: "ec", curve: "secp384r1" },
  ES512: { hash: "sha512", type: "ec", curve: "secp521r1" },
};

const header = z.object({ alg: z.string() });
const claims = z.object({
  iss: z.url({ protocol: /^https$/ }),
  sub: z.string().min(1),
  jti: z.string().min(1),
  em: z.literal("ott"),
  exp: z.number(),
});

/** Where a token says it is from, before anything of it is proven. Throws an "unauthorized" `OverlayError` where it is none. */
export function readIssuer(jwt: string): URL {
  return new URL(parse(jwt).claims.iss);
}

/**
 * What a token says, once it is proven to be signed by `key` and is not expired. Throws an `OverlayError`: "peer_untrusted"
 * where another signed it, "unauthorized" where it is no good.
 */
export function verifyEnrollmentToken(jwt: string, key: KeyObject, now: Date): EnrollmentToken {
  const parsed = parse(jwt);
  const algorithm = Object.hasOwn(algorithms, parsed.alg) ? algorithms[parsed.alg] : undefined;
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const fits = algorithm?.type === type && algorithm?.curve === details?.namedCurve;
  if (
    algorithm === undefined ||
    !fits ||
    !verify(algorithm.hash, parsed.signed, { key, dsaEncoding: "ieee-p1363" }, parsed.signature)
  )
    throw new OverlayError(
      "peer_untrusted",
      "the controller at the token's address is not the one that signed the token",
    );

  const { iss, sub, jti, exp } = parsed.claims;
  if (exp * 1000 <= now.getTime()) throw refused(`it expired at ${new Date(exp * 1000).toISOString()}`);
  return { issuer: new URL(iss), identityId: sub, id: jti };
}

function parse(jwt: string) {
  const parts = jwt.trim().split(".");
  const [head = "", payload = "", signature = ""] = parts;
  if (jwt.length > maxToken || parts.length !== 3) throw refused("it is not a JSON Web Token");
  return {
    alg: read(head, header).alg,
    claims: read(payload, claims),
    signed: Buffer.from(`${head}.${payload}`),
    signature: Buffer.from(signature, "base64url"),
  };
}

function read<T>(part: string, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(tryJson(Buffer.from(part, "base64url").toString()));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw refused(`it is not for a one-time enrollment (${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""})`);
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refused(why: string): OverlayError {
  return new OverlayError("unauthorized", `the enrollment token is no good: ${why}`);
}
