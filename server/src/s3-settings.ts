import type { S3Place } from "./blobs/s3-place.ts";
import { ConfigError, parseBoolean, parseDuration } from "./setting-values.ts";
import { settings, type SettingName } from "./settings.ts";

/** Longest prefix, so that whole keys stay below the 1024 bytes that S3 takes. */
const maximumPrefixBytes = 256;
const bucketName = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const prefixPattern = /^([A-Za-z0-9_-][A-Za-z0-9_.-]*\/)*$/;
const regionName = /^[a-z0-9-]{1,64}$/;

/** The bucket that the settings name; `undefined` where they name none. */
export function readS3Place(text: (name: SettingName) => string | undefined): S3Place | undefined {
  const bucket = text("s3_bucket");
  if (bucket === undefined) return refuseOthers(text);
  if (text("blob_dir") !== undefined)
    throw new ConfigError("s3_bucket: blobs lie there or in blob_dir: set one of both");
  if (!bucketName.test(bucket)) {
    throw new ConfigError(
      `s3_bucket: "${bucket}" is no name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens`,
    );
  }
  const region = text("s3_region")!;
  if (!regionName.test(region)) throw new ConfigError(`s3_region: "${region}" is not a region such as eu-central-1`);
  return {
    bucket,
    prefix: parsePrefix(text("s3_prefix")!),
    endpoint: parseUrl("s3_endpoint", text("s3_endpoint")),
    region,
    pathStyle: parseBoolean("s3_path_style", text("s3_path_style")!),
    publicEndpoint: parseUrl("s3_public_endpoint", text("s3_public_endpoint")),
    linkTtl_ms: parseDuration("s3_link_ttl", text("s3_link_ttl")!, settings.s3_link_ttl.range),
  };
}

function refuseOthers(text: (name: SettingName) => string | undefined): undefined {
  for (const name of ["s3_endpoint", "s3_public_endpoint"] as const)
    if (text(name) !== undefined) throw new ConfigError(`${name}: means nothing without s3_bucket`);
  return undefined;
}

/** Ends in a slash, unless it is empty. */
function parsePrefix(text: string): string {
  const prefix = text === "" || text.endsWith("/") ? text : `${text}/`;
  if (prefix.length <= maximumPrefixBytes && prefixPattern.test(prefix)) return prefix;
  throw new ConfigError(
    `s3_prefix: "${text}" is not made of parts such as agyn/production, of letters, digits, "_", "-" and inner dots, at most ${maximumPrefixBytes} bytes`,
  );
}

function parseUrl(name: SettingName, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (url && isPlain && url.pathname === "/" && /^https?:$/.test(url.protocol)) return url.origin;
  throw new ConfigError(
    `${name}: not a URL of scheme, host and port only, such as https://s3.example.com:9000; credentials belong into the environment`,
  );
}
