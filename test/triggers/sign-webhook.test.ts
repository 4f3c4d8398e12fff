import { expect, test } from "vitest";
import { signatureHeaders, toSecretText } from "../../server/src/outgoing/sign-webhook.ts";
import { verifyWebhook } from "../../server/src/triggers/webhook-request.ts";

test("the signature is that of the standard's own example", () => {
  const key = Buffer.from("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64");
  const message = { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp_s: 1614265330, body: '{"test": 2432232314}' };
  expect(signatureHeaders(message, [key])).toEqual({
    "webhook-id": message.id,
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  });
});

test("a receiver that knows either of two secrets takes the request, and one that knows neither refuses it", () => {
  const [next, before, other] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte)) as [Buffer, Buffer, Buffer];
  const body = Buffer.from('{"type":"run.failed"}');
  const headers = signatureHeaders({ id: "msg_a", timestamp_s: 1000, body: body.toString() }, [next, before]);
  const request = {
    headers: [["content-type", "application/json"], ...Object.entries(headers)] as [string, string][],
    body,
  };
  const outcomes = [next, before, other].map((key) =>
    verifyWebhook(request, { forge: "generic", secret: toSecretText(key), now_ms: 1_000_000 }),
  );
  expect(outcomes).toMatchObject([
    { verified: { id: "msg_a" } },
    { verified: { id: "msg_a" } },
    { refused: { status: 401 } },
  ]);
});
