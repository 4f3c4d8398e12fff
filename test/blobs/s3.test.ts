import { randomBytes } from "node:crypto";
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { openS3Blobs, type S3Blobs, type S3BlobsOptions } from "../../server/src/blobs/s3.ts";
import { freePort } from "../support/free-port.ts";
import { buildTimeout_ms, hasS3Server, startS3Server, type S3Server } from "../support/s3-server.ts";
import { createTcpProxy } from "../support/tcp-proxy.ts";
import { blobsContract } from "./contract.ts";

const mebibyte = 1024 * 1024;

describe.skipIf(!hasS3Server)("S3", () => {
  let server: S3Server;
  const opened: S3Blobs[] = [];
  let prefixes = 0;

  beforeAll(async () => {
    server = await startS3Server();
    for (const [name, value] of Object.entries(server.credentials)) vi.stubEnv(name, value);
  }, buildTimeout_ms);
  afterEach(() => {
    for (const blobs of opened.splice(0)) blobs.close();
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await server?.[Symbol.asyncDispose]();
  });

  async function open(options: Partial<S3BlobsOptions> = {}): Promise<S3Blobs> {
    const { bucket, endpoint } = server;
    const place = { bucket, endpoint, prefix: `test-${(prefixes += 1)}/`, region: "us-east-1", pathStyle: true };
    const links = { publicEndpoint: undefined, linkTtl_ms: 60_000 };
    const blobs = await openS3Blobs({ ...place, ...links, onError: () => undefined, ...options });
    opened.push(blobs);
    return blobs;
  }

  const uploadsBelow = async (Prefix: string): Promise<number> => {
    const { Uploads = [] } = await server.client.send(
      new ListMultipartUploadsCommand({ Bucket: server.bucket, Prefix }),
    );
    return Uploads.length;
  };

  blobsContract("a bucket", () => open());

  test("keys are below the prefix, and nothing else is left in the bucket", async () => {
    const blobs = await open({ prefix: "agyn/a/" });
    await blobs.put("content/ab", Buffer.from("x"));

    const { Contents } = await server.client.send(new ListObjectsV2Command({ Bucket: server.bucket, Prefix: "agyn/" }));
    expect(Contents?.map((one) => one.Key)).toEqual(["agyn/a/content/ab"]);
  });

  test("an upload in parts that fails is given up, and its parts with it", async () => {
    const blobs = await open({ prefix: "given-up/" });
    const seen: number[] = [];
    async function* failing(): AsyncIterable<Uint8Array> {
      for (let index = 0; index < 9; index += 1) yield Buffer.alloc(3 * mebibyte);
      seen.push(await uploadsBelow("given-up/"));
      throw new Error("source failed");
    }

    await expect(blobs.put("large", failing())).rejects.toThrow("source failed");

    expect([...seen, await uploadsBelow("given-up/")]).toEqual([1, 0]);
  });

  test("an upload that a server left when it died is given up at the next opening, a young one is not", async () => {
    const left = { Bucket: server.bucket, Key: "left/content/ab" };
    await server.client.send(new CreateMultipartUploadCommand(left));

    await open({ prefix: "left/" });
    expect(await uploadsBelow("left/")).toBe(1);
    await open({ prefix: "left/", uploadTime_ms: -60_000 });
    expect(await uploadsBelow("left/")).toBe(0);
  });

  test("a reading that is cut in the middle goes on where it was", async () => {
    await using proxy = await createTcpProxy(server.address);
    const blobs = await open({ endpoint: `http://${proxy.address}` });
    const whole = randomBytes(20 * mebibyte);
    await blobs.put("large", whole);

    const pieces: Uint8Array[] = [];
    let cuts = 0;
    for await (const piece of blobs.stream("large")) {
      pieces.push(piece);
      if (pieces.length % 50 !== 1 || cuts === 3) continue;
      cuts += 1;
      proxy.cut();
      proxy.restore();
    }

    expect(cuts).toBe(3);
    expect(Buffer.concat(pieces).equals(whole)).toBe(true);
  });

  test("a store that is away is unavailable to the caller, its operator learns why, and nothing is half there", async () => {
    await using proxy = await createTcpProxy(server.address);
    const told: unknown[] = [];
    const blobs = await open({ endpoint: `http://${proxy.address}`, onError: (error) => told.push(error) });
    async function* cutting(): AsyncIterable<Uint8Array> {
      for (let index = 0; index < 6; index += 1) yield Buffer.alloc(3 * mebibyte);
      proxy.cut();
      yield Buffer.alloc(6 * mebibyte);
    }

    await expect(blobs.put("large", cutting())).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await expect(blobs.get("large")).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    expect(told).toHaveLength(2);
    proxy.restore();
    await expect(blobs.get("large")).rejects.toMatchObject({ reason: "not_found" });
  });

  test("bad-46: a link gives the blob as a download of the name that is said, in ranges, to whoever has it whole", async () => {
    const blobs = await open({ publicEndpoint: server.endpoint });
    await blobs.put("content/page", Buffer.from("<script>"));
    const contentDisposition = `attachment; filename="a.html"; filename*=UTF-8''%E6%97%A5%22.html`;
    const link = await blobs.link("content/page", { contentType: "application/octet-stream", contentDisposition });

    const answer = await fetch(link!, { headers: { range: "bytes=1-6" } });
    expect([answer.status, await answer.text()]).toEqual([206, "script"]);
    expect(answer.headers.get("content-type")).toBe("application/octet-stream");
    expect(answer.headers.get("content-disposition")).toBe(contentDisposition);
    const forged = link!.replace("a.html", "b.html");
    expect(forged).not.toBe(link);
    expect((await fetch(forged)).status).toBe(403);
  });

  test("a link ends soon", async () => {
    const blobs = await open({ publicEndpoint: server.endpoint, linkTtl_ms: 1000 });
    await blobs.put("a", Buffer.from("x"));
    const link = await blobs.link("a", { contentType: "text/plain", contentDisposition: "attachment" });

    await expect.poll(async () => (await fetch(link!)).status).toBe(403);
  });

  test("where links are not asked for there are none", async () => {
    const blobs = await open();
    expect(await blobs.link("a", { contentType: "text/plain", contentDisposition: "attachment" })).toBeUndefined();
  });

  describe("a store that cannot be used is refused at the start, and the setting is named", () => {
    test.each([
      ["a bucket that is not there", { bucket: "nowhere" }, 's3_bucket: there is no bucket "nowhere" at http'],
      ["a wrong region", { region: "eu-central-1" }, 's3_region: the bucket "agyn-test" is not in eu-central-1'],
    ])("%s", async (_what, options, message) => {
      await expect(open(options)).rejects.toThrow(message);
    });

    test.each([
      ["AWS_ACCESS_KEY_ID", "somebody", "does not know the access key: check AWS_ACCESS_KEY_ID"],
      ["AWS_SECRET_ACCESS_KEY", "wrong", "refuses the signature: check AWS_SECRET_ACCESS_KEY"],
    ] as const)("a wrong %s", async (name, value, message) => {
      onTestFinished(() => void vi.stubEnv(name, server.credentials[name]));
      vi.stubEnv(name, value);

      await expect(open()).rejects.toThrow(message);
    });

    test("a server that is not there", async () => {
      const endpoint = `http://127.0.0.1:${await freePort()}`;
      await expect(open({ endpoint })).rejects.toThrow(`s3_endpoint: ${endpoint} does not answer (ECONNREFUSED)`);
    });
  });
});
