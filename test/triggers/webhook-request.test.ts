import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import type { ForgeName } from "../../server/src/domain/trigger-config.ts";
import { parsePayload, verifyWebhook } from "../../server/src/triggers/webhook-request.ts";

const secret = "the secret";
const now_ms = Date.parse("2026-01-01T00:00:00Z");
const json = '{"a":1}';
const stamp = String(now_ms / 1000);

const hex = (text: string, key = secret) => createHmac("sha256", key).update(text).digest("hex");
const stamped = (text: string, key: string | Buffer = secret) =>
  `v1,${createHmac("sha256", key).update(text).digest("base64")}`;
const standard = (key: string | Buffer = secret) => ({
  "webhook-id": "m1",
  "webhook-timestamp": stamp,
  "webhook-signature": stamped(`m1.${stamp}.${json}`, key),
});

function verify(forge: ForgeName, headers: Record<string, string>, body = json): string {
  const all = Object.entries({ "content-type": "application/json", ...headers });
  const outcome = verifyWebhook({ headers: all, body: Buffer.from(body) }, { forge, secret, now_ms });
  return "verified" in outcome ? "good" : outcome.refused.reason;
}

const form = "application/x-www-form-urlencoded";
const formBody = new URLSearchParams({ payload: json }).toString();

test.each<[string, ForgeName, Record<string, string>, string?]>([
  ["Forgejo, bare", "forgejo", { "x-forgejo-signature": hex(json) }],
  ["Forgejo, with a prefix", "forgejo", { "x-forgejo-signature": `sha256=${hex(json)}` }],
  ["Forgejo, as Gitea", "forgejo", { "x-gitea-signature": hex(json) }],
  ["Gitea", "gitea", { "x-gitea-signature": hex(json), "x-hub-signature": "sha1=00" }],
  ["Gitea, a form", "gitea", { "content-type": form, "x-gitea-signature": hex(json) }, formBody],
  ["GitHub", "github", { "x-hub-signature-256": `sha256=${hex(json)}` }],
  ["GitHub, a form", "github", { "content-type": form, "x-hub-signature-256": `sha256=${hex(formBody)}` }, formBody],
  ["GitLab, a token", "gitlab", { "x-gitlab-token": secret }],
  ["GitLab, signed", "gitlab", standard()],
  ["any program", "generic", { "x-signature-256": `sha256=${hex(json)}` }],
  ["any program, Standard Webhooks", "generic", standard()],
  [
    "two signatures of a key that changes",
    "generic",
    { ...standard(), "webhook-signature": `v1,AAAA ${standard()["webhook-signature"]}` },
  ],
  [
    "utf-8 by name",
    "forgejo",
    { "content-type": 'application/json; charset="UTF-8"', "x-forgejo-signature": hex(json) },
  ],
])("a good signature: %s", (_name, forge, headers, body) => {
  expect(verify(forge, headers, body)).toBe("good");
});

test.each<[string, ForgeName, Record<string, string>, RegExp]>([
  ["GitHub's without its prefix", "github", { "x-hub-signature-256": hex(json) }, /does not begin with sha256=/],
  ["GitHub's by SHA-1", "github", { "x-hub-signature": "sha1=00" }, /SHA-1/],
  ["SHA-1 under another name", "github", { "x-hub-signature-256": "sha1=00" }, /SHA-1/],
  ["another's header", "github", { "x-forgejo-signature": hex(json) }, /not signed/],
  ["GitLab's wrong token", "gitlab", { "x-gitlab-token": `${secret} ` + "x" }, /not the trigger's secret/],
  ["GitLab's empty token", "gitlab", { "x-gitlab-token": "" }, /empty/],
  ["GitLab's missing token", "gitlab", {}, /not signed/],
  [
    "a stamp of the day before",
    "generic",
    { ...standard(), "webhook-timestamp": String(now_ms / 1000 - 86_400) },
    /replay/,
  ],
  ["a stamp that is no number", "generic", { ...standard(), "webhook-timestamp": "1e9" }, /not a number/],
  ["another id", "generic", { ...standard(), "webhook-id": "m2" }, /not that of this body/],
  [
    "v1a",
    "generic",
    { ...standard(), "webhook-signature": standard()["webhook-signature"].replace("v1,", "v1a,") },
    /not that/,
  ],
  ["one too short", "forgejo", { "x-forgejo-signature": hex(json).slice(1) }, /lower-case hexadecimal/],
  ["one too long", "forgejo", { "x-forgejo-signature": `${hex(json)}0` }, /lower-case hexadecimal/],
])("bad-31: %s is refused", (_name, forge, headers, reason) => {
  expect(verify(forge, headers)).toMatch(reason);
});

test("bad-31: a trigger without a secret takes nothing, whatever is signed with nothing", () => {
  const headers = [
    ["content-type", "application/json"],
    ["x-forgejo-signature", hex(json, "")],
  ] as const;
  const request = { headers, body: Buffer.from(json) };
  const outcome = verifyWebhook(request, { forge: "forgejo", secret: "", now_ms });
  expect("refused" in outcome && outcome.refused.reason).toBe("the trigger has no secret");
});

test("a Standard Webhooks secret with its prefix is base64 of the key", () => {
  const key = Buffer.from("0123456789abcdef0123456789abcdef");
  const headers = Object.entries({ "content-type": "application/json", ...standard(key) });
  const options = { forge: "generic", secret: `whsec_${key.toString("base64")}`, now_ms } as const;
  expect("verified" in verifyWebhook({ headers, body: Buffer.from(json) }, options)).toBe(true);
});

test("what the signature does not cover tells no two deliveries apart: a payload is known by itself", () => {
  const hashesOf = (id: string) => {
    const signed = { "content-type": "application/json", "x-forgejo-signature": hex(json), "x-forgejo-delivery": id };
    const request = { headers: Object.entries(signed), body: Buffer.from(json) };
    const outcome = verifyWebhook(request, { forge: "forgejo", secret, now_ms });
    return "verified" in outcome ? outcome.verified.hashes.map((one) => Buffer.from(one).toString("hex")) : [];
  };
  const [one, other] = [hashesOf("1"), hashesOf("2")];
  expect(one[0]).not.toBe(other[0]);
  expect(one[1]).toBe(other[1]);
});

test.each([
  ["not JSON", "a=1"],
  ["a byte order mark", '\uFEFF{"a":1}'],
  ["nested 10,000 deep", "[".repeat(10_000) + "]".repeat(10_000)],
  ["nothing", ""],
])("bad-31: a payload that is %s is refused", (_name, text) => {
  expect("error" in parsePayload(Buffer.from(text))).toBe(true);
});

test("bad-31: a payload that is not UTF-8 is refused", () => {
  expect(parsePayload(Buffer.from([0x22, 0xff, 0x22]))).toEqual({ error: "the payload is not UTF-8" });
});
