import "reflect-metadata";
import { createPrivateKey, webcrypto, X509Certificate } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import * as x509 from "@peculiar/x509";
import { z } from "zod";
import { messageOf, OverlayError } from "../errors.ts";
import { readTlsError } from "./connect-tls.ts";
import { createControllerList, type ControllerUrls } from "./controller-list.ts";
import type { Credential } from "./credential.ts";
import { readIssuer, verifyEnrollmentToken, type EnrollmentToken } from "./enrollment-token.ts";
import { clientApi, createController, readData, readFailure, request } from "./rest.ts";

/** What came of an enrollment: who we are in the network, and where it is. */
export interface Enrolled extends Credential {
  /** `https://host:port` */
  readonly controller: string;
  readonly identityId: string;
}

/** For all of it: two connections, three calls. */
const enrollTimeout_ms = 30_000;
const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const enrollment = z.object({ cert: z.string().min(1) });

/**
 * Enrolls once with a token that an administrator of the network handed out: the key is made here and stays here. The
 * token is what the controller is known by, so it must have come by a way that can be trusted. Rejects with an
 * `OverlayError`: "unauthorized" where the token was used, has expired or is malformed, "peer_untrusted" where the
 * controller is not the one that signed it.
 */
export async function enrollOneTime(jwt: string, options: { readonly signal?: AbortSignal } = {}): Promise<Enrolled> {
  const timeout = AbortSignal.timeout(enrollTimeout_ms);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  try {
    return await enroll(jwt, signal);
  } catch (error) {
    if (error instanceof OverlayError) throw error;
    if (options.signal?.aborted === true) throw new OverlayError("cancelled", "the enrollment was given up");
    if (timeout.aborted) throw new OverlayError("timeout", `the enrollment took longer than ${enrollTimeout_ms} ms`);
    throw readTlsError(error, "the controller");
  }
}

async function enroll(jwt: string, signal: AbortSignal): Promise<Enrolled> {
  const { token, caPem } = await meetController(jwt, signal);
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create(
    { name: [{ CN: [token.identityId] }], keys, signingAlgorithm: keyAlgorithm },
    webcrypto,
  );

  const controller = token.issuer.origin;
  const certPem = await redeemToken(
    { controllers: controller, caPem, token: token.id, csrPem: csr.toString("pem") },
    signal,
  );
  const keyPem = await exportKey(keys.privateKey);
  if (!new X509Certificate(certPem).checkPrivateKey(createPrivateKey(keyPem)))
    throw new OverlayError("broken", "the enrollment: the certificate that came is not for our key");
  return { controller, identityId: token.identityId, keyPem, certPem, caPem };
}

/** What is exchanged for a certificate: a token that may be used once, and a request for a key that somebody has. */
export interface Redemption {
  readonly controllers: ControllerUrls;
  readonly caPem: string;
  /** What may be used once, without what is signed around it. */
  readonly token: string;
  readonly csrPem: string;
}

/** Exchanges a token for a certificate (PEM) of the network. Rejects with an `OverlayError`, or with the reason of `signal`. */
export async function redeemToken(
  { controllers, caPem, token, csrPem }: Redemption,
  signal: AbortSignal,
): Promise<string> {
  const controller = createController(createControllerList(controllers), { caPem });
  try {
    const path = `${clientApi}/enroll?method=ott&token=${encodeURIComponent(token)}`;
    const answer = await controller.call({ method: "POST", path, text: csrPem }, signal);
    return readData(answer, enrollment, "the enrollment").cert;
  } finally {
    controller.close();
  }
}

/**
 * The authorities of the network. Nothing of it is known before the token, so the controller's certificate is not checked
 * against anything but the token's signature, and what it says counts only on the connection on which it showed it.
 */
async function meetController(jwt: string, signal: AbortSignal): Promise<{ token: EnrollmentToken; caPem: string }> {
  const url = readIssuer(jwt);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const socket = tls.connect({
    host,
    port: Number(url.port || 443),
    ...(net.isIP(host) === 0 && { servername: host }),
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
    ALPNProtocols: ["http/1.1"],
  });
  socket.on("error", () => {});
  try {
    await once(socket, "secureConnect", { signal });
    const shown = socket.getPeerX509Certificate();
    if (shown === undefined) throw new OverlayError("peer_untrusted", "the controller showed no certificate");
    const token = verifyEnrollmentToken(jwt, shown.publicKey, new Date());
    const headers = { accept: "application/pkcs7-mime" };
    const call = { method: "GET", path: "/.well-known/est/cacerts", headers } as const;
    const answer = await request(url.origin, call, { createConnection: () => socket, signal });
    if (answer.status !== 200) throw readFailure(answer, "the network's authorities");
    return { token, caPem: readAuthorities(answer.text) };
  } finally {
    socket.destroy();
  }
}

function readAuthorities(text: string): string {
  try {
    const certificates = new x509.X509Certificates();
    certificates.import(Buffer.from(text, "base64"));
    if (certificates.length === 0) throw new Error("there is none");
    return certificates.map((certificate) => certificate.toString("pem")).join("\n");
  } catch (error) {
    throw new OverlayError("broken", `the network's authorities cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  return createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" })
    .export({ format: "pem", type: "pkcs8" })
    .toString();
}
