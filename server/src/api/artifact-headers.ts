/* How an artifact's bytes are given to a browser: as a download, whatever they are and are called. */
import type { LinkHeaders } from "../blobs/blobs.ts";

const types = new Map<string, string>([
  ["txt", "text/plain"],
  ["log", "text/plain"],
  ["json", "application/json"],
  ["xml", "application/xml"],
  ["html", "text/html"],
  ["csv", "text/csv"],
  ["md", "text/markdown"],
  ["svg", "image/svg+xml"],
  ["png", "image/png"],
  ["jpg", "image/jpeg"],
  ["pdf", "application/pdf"],
  ["zip", "application/zip"],
  ["gz", "application/gzip"],
  ["tgz", "application/gzip"],
  ["zst", "application/zstd"],
  ["tar", "application/x-tar"],
]);

/** A guess by the name. */
export function mediaTypeOf(fileName: string): string {
  const ending = /\.([A-Za-z0-9]{1,8})$/.exec(fileName)?.[1]?.toLowerCase() ?? "";
  return types.get(ending) ?? "application/octet-stream";
}

/** Under which name an artifact is a file. */
export function fileNameOf({ name, directory }: { name: string; directory: boolean }): string {
  return directory && !name.endsWith(".tar.zst") ? `${name}.tar.zst` : name;
}

/**
 * Headers with which no artifact runs in the control plane's origin: always a download, never sniffed, and sandboxed should a
 * browser show it after all. The name is given twice (RFC 6266): cut to plain ASCII, and encoded whole (RFC 8187).
 */
export function downloadHeaders(fileName: string, sha256: string): Record<string, string> {
  const plain = fileName.replaceAll(/[^A-Za-z0-9._+=@ -]/g, "_");
  const encoded = encodeURIComponent(fileName).replaceAll(/['()*!]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  });
  return {
    "content-type": "application/octet-stream",
    "content-disposition": `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`,
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-store",
    "accept-ranges": "bytes",
    etag: `"${sha256}"`,
  };
}

/** Of these, what a link to the blob store can say. It leads to another origin, so that what the others guard is not there. */
export function linkHeaders(headers: Record<string, string>): LinkHeaders {
  return { contentType: headers["content-type"]!, contentDisposition: headers["content-disposition"]! };
}

/** What a `Range` header asks for of so many bytes: a part, everything (`undefined`), or nothing that is there. */
export function rangeOf(
  header: string | undefined,
  size: number,
): { first: number; last: number } | undefined | "none" {
  const [, from, to] = /^bytes=([0-9]{0,15})-([0-9]{0,15})$/.exec(header ?? "") ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return undefined;
  if (from === "") {
    const length = Math.min(Number(to), size);
    return length === 0 ? "none" : { first: size - length, last: size - 1 };
  }
  const first = Number(from);
  const last = to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (first >= size) return "none";
  // A range that ends before it begins is no range: the header is passed over (RFC 9110, 14.1.1).
  return last < first ? undefined : { first, last };
}
