import { expect, test } from "vitest";
import { BlobStartError } from "../../server/src/blobs/blobs.ts";
import { ConfigError, settle, toConfig } from "../../server/src/config.ts";
import { explainStartFailure } from "../../server/src/start-failure.ts";

const placeOf = (flags: Record<string, string>) => toConfig(settle(flags, {}, undefined)).s3;

test("without a bucket blobs lie in a directory, with one there alone", () => {
  expect(placeOf({})).toBeUndefined();
  expect(placeOf({ s3_bucket: "builds", s3_prefix: "agyn/eu", s3_endpoint: "http://10.0.0.7:9000/" })).toEqual({
    bucket: "builds",
    prefix: "agyn/eu/",
    endpoint: "http://10.0.0.7:9000",
    region: "us-east-1",
    pathStyle: false,
    publicEndpoint: undefined,
    linkTtl_ms: 60_000,
  });
});

test.each([
  [{ s3_bucket: "Builds" }, 's3_bucket: "Builds" is no name of a bucket'],
  [{ s3_bucket: "builds", blob_dir: "/srv" }, "s3_bucket: blobs lie there or in blob_dir"],
  [{ s3_bucket: "builds", s3_prefix: "../x" }, 's3_prefix: "../x" is not made of parts'],
  [{ s3_bucket: "builds", s3_prefix: "/x" }, 's3_prefix: "/x" is not made of parts'],
  [{ s3_bucket: "builds", s3_region: "Europe" }, 's3_region: "Europe" is not a region'],
  [{ s3_bucket: "builds", s3_endpoint: "10.0.0.7:9000" }, "s3_endpoint: not a URL of scheme, host and port"],
  [{ s3_bucket: "builds", s3_link_ttl: "2h" }, 's3_link_ttl: "2h" is not from 1s to 1h'],
  [{ s3_endpoint: "http://10.0.0.7:9000" }, "s3_endpoint: means nothing without s3_bucket"],
])("%j is refused, and the setting and its rule are named", (flags, message) => {
  expect(() => placeOf(flags as Record<string, string>)).toThrow(message);
});

test("credentials in an endpoint are refused, and the refusal does not repeat them", () => {
  const flags = { s3_bucket: "builds", s3_endpoint: "https://key:hunter2@s3.example.com" };

  expect(() => placeOf(flags)).toThrow("credentials belong into the environment");
  expect(() => placeOf(flags)).not.toThrow("hunter2");
});

test("what is amiss with a bucket at the start is a mistake of the configuration, told without a stack", () => {
  const config = toConfig(settle({ s3_bucket: "builds" }, {}, undefined));
  const explained = explainStartFailure(new BlobStartError('s3_bucket: there is no bucket "builds"'), config);

  expect(explained).toBeInstanceOf(ConfigError);
  expect((explained as Error).message).toBe('s3_bucket: there is no bucket "builds"');
});
