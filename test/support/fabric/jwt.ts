import { createPublicKey, sign, verify } from "node:crypto";

export type Claims = Readonly<Record<string, unknown>>;

/** Signs claims as a JWT by ES256, with the P-256 key `keyPem`. */
export function signJwt(claims: Claims, keyPem: string): string {
  const signed = `${part({ alg: "ES256", typ: "JWT" })}.${part(claims)}`;
  const signature = sign("sha256", Buffer.from(signed), { key: keyPem, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

/** The claims of a JWT that `keyPem` signed, whatever they say of time; `undefined` of anything else. */
export function readJwt(token: string, keyPem: string): Claims | undefined {
  const [head, claims, signature, ...more] = token.split(".");
  if (head === undefined || claims === undefined || signature === undefined || more.length > 0) return undefined;
  const key = { key: createPublicKey(keyPem), dsaEncoding: "ieee-p1363" } as const;
  const good = verify("sha256", Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, "base64url"));
  return good ? (JSON.parse(Buffer.from(claims, "base64url").toString()) as Claims) : undefined;
}

function part(value: Claims): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
