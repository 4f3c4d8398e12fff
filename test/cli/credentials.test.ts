import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findCredentials } from "../../cli/src/credentials.ts";
import { createTokenFile } from "../../cli/src/token-file.ts";

const none = { gateway: undefined, caFile: undefined, tokenFile: undefined, allowCleartext: false };
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "agyn-credentials-"));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function addDataDirectory(path: string, gateway: string): void {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "gateway"), `${gateway}\n`);
  writeFileSync(join(path, "admin-token"), "agyn_pat_admin\n", { mode: 0o600 });
}

test("the nearest .agyn above the working directory names gateway and token", () => {
  addDataDirectory(join(root, ".agyn"), "http://127.0.0.1:7999");
  mkdirSync(join(root, "a/b"), { recursive: true });
  const found = findCredentials(none, {}, join(root, "a/b"));
  expect(found).toEqual({
    gateway: "http://127.0.0.1:7999",
    gatewaySource: join(root, ".agyn/gateway"),
    token: "agyn_pat_admin",
    tokenSource: join(root, ".agyn/admin-token"),
  });
});

test("the certificate beside a gateway counts where the directory names the gateway, and a given one before it", () => {
  const directory = join(root, ".agyn");
  addDataDirectory(directory, "https://127.0.0.1:7999");
  writeFileSync(join(directory, "gateway.crt"), "");

  const found = findCredentials(none, {}, root);
  const chosen = findCredentials({ ...none, gateway: "https://127.0.0.1:7999" }, {}, root);
  const given = findCredentials(none, { AGYN_CA_FILE: "/mine.pem" }, root);

  expect(found.caFile).toBe(join(directory, "gateway.crt"));
  expect(chosen.caFile).toBeUndefined();
  expect(given.caFile).toBe("/mine.pem");
});

test("AGYN_DATA_DIR comes before the nearest .agyn, and the environment before both", () => {
  addDataDirectory(join(root, ".agyn"), "http://127.0.0.1:1111");
  addDataDirectory(join(root, "data"), "http://127.0.0.1:2222");
  expect(findCredentials(none, { AGYN_DATA_DIR: join(root, "data") }, root).gateway).toBe("http://127.0.0.1:2222");
  const environment = { AGYN_GATEWAY: "http://127.0.0.1:3333/", AGYN_TOKEN: "agyn_pat_mine" };
  expect(findCredentials(none, environment, root)).toMatchObject({
    gateway: "http://127.0.0.1:3333",
    token: "agyn_pat_mine",
  });
});

test("it is told where the gateway was found", () => {
  const sourceOf = (gateway: string | undefined, environment: NodeJS.ProcessEnv) =>
    findCredentials({ ...none, gateway }, environment, root).gatewaySource;
  const environment = { AGYN_GATEWAY: "http://127.0.0.1:3333" };
  expect(sourceOf("http://127.0.0.1:4444", environment)).toBe("--gateway");
  expect(sourceOf(undefined, environment)).toBe("AGYN_GATEWAY");
  expect(sourceOf(undefined, {})).toBe("its default");
});

test("flags come before the environment", () => {
  writeFileSync(join(root, "token"), "agyn_pat_flag\n");
  const options = { ...none, gateway: "http://127.0.0.1:4444", tokenFile: join(root, "token") };
  const environment = { AGYN_GATEWAY: "http://127.0.0.1:3333", AGYN_TOKEN: "agyn_pat_mine" };
  expect(findCredentials(options, environment, root)).toMatchObject({
    gateway: "http://127.0.0.1:4444",
    token: "agyn_pat_flag",
  });
});

test("a directory's token goes to no other gateway", () => {
  addDataDirectory(join(root, ".agyn"), "http://127.0.0.1:1111");
  const found = findCredentials({ ...none, gateway: "https://elsewhere.example" }, {}, root);
  expect(found).toMatchObject({ gateway: "https://elsewhere.example", token: undefined });
});

test("a token of the environment does not go where only a directory says, beyond this machine", () => {
  addDataDirectory(join(root, ".agyn"), "https://collector.example");
  const find = () => findCredentials(none, { AGYN_TOKEN: "agyn_pat_mine" }, root);
  expect(find).toThrow("is named by");
});

test("a token does not leave this machine without TLS unless it is allowed to", () => {
  const environment = { AGYN_TOKEN: "agyn_pat_mine", AGYN_GATEWAY: "http://control.example:7070" };
  expect(() => findCredentials(none, environment, root)).toThrow("without TLS");
  expect(findCredentials({ ...none, allowCleartext: true }, environment, root).token).toBe("agyn_pat_mine");
});

test.each([
  ["ftp://x", "is no URL such as"],
  ["127.0.0.1:7070", "is no URL such as"],
  ["https://user:pass@x", "holds credentials"],
])("the gateway %s is refused", (gateway, fault) => {
  expect(() => findCredentials({ ...none, gateway }, {}, root)).toThrow(fault);
});

test("a token that no header could carry is refused without showing it", () => {
  const find = () => findCredentials(none, { AGYN_TOKEN: "se cret\u0001" }, root);
  expect(find).toThrow("the token of AGYN_TOKEN holds characters that no token has");
});

test("a token file is 0600, never overwritten, and gone where no token came", () => {
  const path = join(root, "new.token");
  createTokenFile(path).close();
  const file = createTokenFile(path);
  file.write("agyn_rt_x");
  file.close();
  expect(() => createTokenFile(path)).toThrow("exists already and is not overwritten");
  expect(statSync(path).mode & 0o777).toBe(0o600);
});
