import { once } from "node:events";
import http from "node:http";
import type { AddressInfo, Server } from "node:net";
import tls from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { openGateway } from "../../runner/src/gateway.ts";
import { createCertificate } from "../support/certificate.ts";

/** The error of a runner that takes the server for one of the given scheme. */
async function errorAt(scheme: string, server: Server): Promise<unknown> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const gateway = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const rootPin = () => new Uint8Array(32);
  const opened = openGateway({ gateway, proxies: {}, rootPin, version: "0.0.0" });
  onTestFinished(() => opened.close());
  onTestFinished(async () => void (await once(server.close(), "close")));
  return opened.client
    .startEnrollment({ runnerId: "rnr_aaaaaaaaaaaaaaaa" }, { timeoutMs: 5000 })
    .catch((error: unknown) => error);
}

test("a gateway that speaks TLS, and is dialed without, is asked after as https", async () => {
  const certificate = await createCertificate("gateway.example");

  const error = await errorAt(
    "http",
    tls.createServer(certificate).on("tlsClientError", () => {}),
  );

  expect(error).toMatchObject({
    rawMessage: expect.stringMatching(/^http:\S+ ended the connection: is it https:.. there\?$/),
  });
});

test("a gateway that speaks no TLS, and is dialed with it, is asked after as http", async () => {
  const error = await errorAt("https", http.createServer());

  expect(error).toMatchObject({
    rawMessage: expect.stringMatching(/^https:\S+ does not speak TLS: is it http:.. there\?$/),
  });
});
