import { describe, expect, test } from "vitest";
import { downloadHeaders, fileNameOf, rangeOf } from "../../server/src/api/artifact-headers.ts";

describe("bad-46: headers of a download", () => {
  test.each([
    ['a"; filename="evil.exe', "a__ filename=_evil.exe", "a%22%3B%20filename%3D%22evil.exe"],
    ["a\r\nset-cookie: x=1", "a__set-cookie_ x=1", "a%0D%0Aset-cookie%3A%20x%3D1"],
    ["日本.html", "__.html", "%E6%97%A5%E6%9C%AC.html"],
    ["it's (1)*.txt", "it_s _1__.txt", "it%27s%20%281%29%2A.txt"],
  ])("%j stays one name, in ASCII and encoded", (name, plain, encoded) => {
    const headers = downloadHeaders(name, "ab");
    expect(headers["content-disposition"]).toBe(`attachment; filename="${plain}"; filename*=UTF-8''${encoded}`);
    expect(Object.values(headers).join("")).not.toMatch(/[\r\n]/);
  });

  test("a page is no page: a download of no type, never sniffed, sandboxed", () => {
    expect(downloadHeaders("index.html", "ab")).toMatchObject({
      "content-type": "application/octet-stream",
      "x-content-type-options": "nosniff",
      "content-security-policy": expect.stringContaining("sandbox") as string,
    });
  });

  test.each([
    [undefined, undefined],
    ["bytes=0-3", { first: 0, last: 3 }],
    ["bytes=5-", { first: 5, last: 9 }],
    ["bytes=-4", { first: 6, last: 9 }],
    ["bytes=-40", { first: 0, last: 9 }],
    ["bytes=8-99", { first: 8, last: 9 }],
    ["bytes=10-", "none"],
    ["bytes=-0", "none"],
    ["bytes=4-3", undefined],
    ["bytes=0-1,3-4", undefined],
    ["lines=0-1", undefined],
    ["bytes=-", undefined],
    ["bytes=99999999999999999999-", undefined],
  ])("the range %j of ten bytes", (header, range) => {
    expect(rangeOf(header, 10)).toEqual(range);
  });
});

test("a directory is a file that ends in .tar.zst", () => {
  expect(fileNameOf({ name: "dist", directory: true })).toBe("dist.tar.zst");
  expect(fileNameOf({ name: "dist.tar.zst", directory: true })).toBe("dist.tar.zst");
  expect(fileNameOf({ name: "app", directory: false })).toBe("app");
});
