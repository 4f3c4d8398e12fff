import { expect, test } from "vitest";
import { createLogSanitizer, sanitizeLog, sanitizeText } from "../../wire/terminal-text.ts";

const esc = "\u001b";

test.each([
  ["a link to javascript:", `${esc}]8;;javascript:alert(1)${esc}\\click${esc}]8;;${esc}\\`, "click"],
  ["the clipboard", `a${esc}]52;c;cm0gLXJm\u0007b`, "ab"],
  ["a title", `a${esc}]0;owned\u0007b`, "ab"],
  ["cursor moves and clearing", `a${esc}[2J${esc}[1;1H${esc}[10Ab`, "ab"],
  ["a million parameters", `a${esc}[${"1;".repeat(1_000_000)}mb`, "ab"],
  ["8-bit controls", "a\u009b2Jb\u009d0;title\u009cc\u0085d", "abcd"],
  ["a device control string", `a${esc}Pq#0;2;0;0;0${esc}\\b`, "ab"],
  ["character sets and a reset", `a${esc}(0${esc}cb`, "ab"],
  ["a query of the terminal", `a${esc}[6n${esc}[?1049hb`, "ab"],
  ["backspaces and bells", "a\b\b\u0007b\u0000", "ab"],
  ["a private sequence that ends in m", `a${esc}[>4;2mb`, "ab"],
  ["bidirectional overrides", "a\u202eb\u2066c", "abc"],
])("bad-35: a log loses %s", (_, input, safe) => {
  expect(sanitizeLog(input)).toBe(safe);
});

test("a log keeps its colours and they are reset at its end", () => {
  expect(sanitizeLog(`${esc}[1;31mred`)).toBe(`${esc}[1;31mred${esc}[0m`);
  expect(sanitizeLog(`${esc}[38:2::1:2:3mred${esc}[0m`)).toBe(`${esc}[38:2::1:2:3mred${esc}[0m`);
});

test("bad-35: a carriage return hides nothing", () => {
  expect(sanitizeLog("rm -rf /\rls      \n")).toBe("rm -rf /\nls      \n");
  expect(sanitizeLog("windows\r\nlines\r\n")).toBe("windows\nlines\n");
});

test("bad-35: an unterminated string hides no further line", () => {
  expect(sanitizeLog(`a${esc}]0;never ended\nb`)).toBe("a\nb");
  expect(sanitizeLog(`a${esc}]0;${"x".repeat(5000)}`)).toMatch(/^ax{1,1000}$/);
});

test("bad-35: an escape in a string begins anew", () => {
  expect(sanitizeLog(`${esc}]0;a${esc}[31mred`)).toBe(`${esc}[31mred${esc}[0m`);
});

test("an escape and a code point cut between two chunks are read as one", () => {
  const bytes = Buffer.from(`ä${esc}]52;c;x\u0007${esc}[32mgrün${esc}[0m`);
  const sanitizer = createLogSanitizer();

  const safe = [...bytes].map((byte) => sanitizer.push(Uint8Array.of(byte))).join("") + sanitizer.end();

  expect(safe).toBe(`ä${esc}[32mgrün${esc}[0m`);
});

test("bytes that are not UTF-8 become replacement characters", () => {
  expect(sanitizeLog(Buffer.from([0x61, 0x9b, 0x32, 0x4a, 0xff, 0x62]))).toBe("a\ufffd2J\ufffdb");
});

test.each([
  ["colours and links", `${esc}[31mred${esc}[0m ${esc}]8;;http://x${esc}\\y`, "red y"],
  ["line breaks and tabs", "a\r\nb\tc", "a  b c"],
  ["bidirectional overrides", "user\u202egnp.exe", "user\ufffdgnp.exe"],
  ["invisible characters", "a\u200bb\u00adc", "a\ufffdb\ufffdc"],
  ["controls", "a\u0007b\u0085c\u007f", "a\ufffdb\ufffdc\ufffd"],
])("bad-51: a name loses %s", (_, input, safe) => {
  expect(sanitizeText(input)).toBe(safe);
});

test("a name in any script stays as it is", () => {
  expect(sanitizeText("Bauläufer-2 工作 🚀 <b>")).toBe("Bauläufer-2 工作 🚀 <b>");
});
