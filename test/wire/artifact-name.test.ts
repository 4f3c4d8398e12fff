import { describe, expect, test } from "vitest";
import { artifactNameFault, entryPathFault, nameKey } from "../../wire/artifact-name.ts";

describe("bad-43: names that are none for an artifact are refused", () => {
  test.each([
    ["../../etc/x", "slash"],
    ["/etc/passwd", "slash"],
    ["C:\\x", "slash or a backslash"],
    ["C:x", "control character or one of"],
    ["..", "is a folder"],
    ["", "it is empty"],
    ["name.", "ends with a space or a dot"],
    ["name ", "ends with a space or a dot"],
    ["CON", "device"],
    ["con.txt", "device"],
    ["LPT1.log", "device"],
    ["x".repeat(256), "above 255 bytes"],
    ["é".repeat(128), "above 255 bytes"],
    ["a\nb", "control character"],
    ["a\u202etxt.exe", "invisible"],
    ["a\u0000", "control character"],
    ["\ud800", "not Unicode"],
  ])("%j", (name, why) => {
    expect(artifactNameFault(name)).toContain(why);
  });

  test.each(["coverage.tar.gz", "report 1.txt", "a+b=c@d", "日本語.txt", ".env", "x".repeat(255)])(
    "%j is one",
    (name) => {
      expect(artifactNameFault(name)).toBeUndefined();
    },
  );

  test("names that a file system may take for one share a key: case, composed and decomposed accents", () => {
    expect(nameKey("Résumé.txt".normalize("NFD"))).toBe(nameKey("RÉSUMÉ.TXT".normalize("NFC")));
    expect(nameKey("a.txt")).not.toBe(nameKey("b.txt"));
  });

  test.each(["/a", "a//b", "a/../b", "./a", "a/.", "", "a\0", "x".repeat(5000)])(
    "%j is no path of an archive",
    (path) => {
      expect(entryPathFault(path)).toBeDefined();
    },
  );
});
