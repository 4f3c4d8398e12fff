import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseConfig } from "../../runner/src/config.ts";
import { temporaryDirectory } from "./world.ts";

const [key, cert, ca] = ["KEY", "CERT", "CA"].map((what) => `-----BEGIN ${what}-----\n`);
const id = { key: `pem:${key}`, cert: `pem:${cert}`, ca: `pem:${ca}` };
const ztAPI = "https://ctrl.example.com:1280/edge/client/v1";

function gatewayOf(flags: string[], environment: NodeJS.ProcessEnv = {}) {
  return parseConfig(["--data-dir", "/none", ...flags], { environment, version: "1" })?.gateway;
}

function identityFile(content: unknown): string {
  const file = join(temporaryDirectory(), "bootstrap.json");
  writeFileSync(file, JSON.stringify(content));
  return file;
}

test("the gateway is a URL, or an identity that may dial enrollment in a network", () => {
  const identity = { controllers: [ztAPI], keyPem: key, certPem: cert, caPem: ca };
  const file = identityFile({ ztAPI, id });

  expect(gatewayOf(["--gateway", "https://agyn.example.org/"])).toBe("https://agyn.example.org");
  expect(gatewayOf(["--ziti-identity", file])).toEqual(identity);
  expect(gatewayOf([], { AGYN_ZITI_IDENTITY: file })).toEqual(identity);
});

test("an identity file may name several controllers of its network, each of which is asked", () => {
  const other = "https://ctrl-2.example.com:1280";
  const file = identityFile({ ztAPI, ztAPIs: ["https://ctrl.example.com:1280", other], id });

  expect(gatewayOf(["--ziti-identity", file])).toMatchObject({ controllers: [ztAPI, other] });
  const plain = identityFile({ ztAPI, ztAPIs: [other, "http://ctrl-3.example.com:1280"], id });
  expect(() => gatewayOf(["--ziti-identity", plain])).toThrow("ztAPIs.1 is not an https:// URL");
  expect(() => gatewayOf(["--ziti-identity", identityFile({ id })])).toThrow("ztAPI is missing");
  const many = identityFile({ ztAPI, ztAPIs: Array.from({ length: 65 }, () => other), id });
  expect(() => gatewayOf(["--ziti-identity", many])).toThrow("ztAPIs are more than 64");
});

test("a gateway that is missing, said twice or of no use is refused, and the rule is named", () => {
  const file = identityFile({ ztAPI, id });
  const nameless = identityFile({ ztAPI, id: { ...id, ca: undefined } });

  expect(() => gatewayOf([])).toThrow("is needed: --gateway URL, or AGYN_GATEWAY; or --ziti-identity FILE");
  expect(() => gatewayOf(["--gateway", "https://a", "--ziti-identity", file])).toThrow("give one of them");
  expect(() => gatewayOf(["--ziti-identity", file], { AGYN_GATEWAY: "https://a" })).toThrow("give one of them");
  expect(() => gatewayOf(["--ziti-identity", `${file}.none`])).toThrow("cannot be read");
  expect(() => gatewayOf(["--ziti-identity", identityFile({ ztAPI })])).toThrow("id is missing");
  expect(() => gatewayOf(["--ziti-identity", nameless])).toThrow("does not name the network's authorities (id.ca)");
});

function runnerOf(...flags: string[]) {
  const argv = ["--data-dir", "/none", "--gateway", "https://agyn.example.org", ...flags];
  return parseConfig(argv, { environment: {}, version: "1" });
}

test("the runner plane is dialed where the control plane says, at a port, or by a tunneler", () => {
  expect(runnerOf()?.runnerPlane).toBeUndefined();
  expect(runnerOf("--runner-plane", "[::1]:7071")?.runnerPlane).toEqual({ kind: "mtls", address: "[::1]:7071" });
  for (const address of ["127.0.0.1:7071", "unix:/run/agyn/tunneler.sock"])
    expect(runnerOf("--sidecar", address)?.runnerPlane).toEqual({ kind: "sidecar", address });

  expect(() => runnerOf("--sidecar", "unix:here")).toThrow("--sidecar: unix:here: after unix: comes an absolute path");
  expect(() => runnerOf("--sidecar", "here")).toThrow("--sidecar: here is neither host:port nor unix:/path");
  expect(() => runnerOf("--runner-plane", "here")).toThrow('--runner-plane: endpoint "here" is not host:port');
  expect(() => runnerOf("--sidecar", "a:1", "--runner-plane", "a:1")).toThrow("give one of them");
});

test("OpenZiti's own SDK is used only when asked for, from its package or where it was put", () => {
  expect(runnerOf()?.zitiSdk).toBeUndefined();
  expect(runnerOf("--ziti-sdk")?.zitiSdk).toBe("@openziti/ziti-sdk-nodejs");
  expect(runnerOf("--ziti-sdk", "/opt/ziti-sdk")?.zitiSdk).toBe("/opt/ziti-sdk");
});

test("jobs may not look into the files of secrets that the runner was given, nor into what the operator names", () => {
  const file = identityFile({ ztAPI, id });
  const directory = temporaryDirectory();
  const config = parseConfig(["--data-dir", "/none", "--ziti-identity", file, "--hide", directory, "--hide", file], {
    environment: {},
    version: "1",
  });

  expect(config?.hidden).toEqual({ directories: [directory], files: [file, file] });
  expect(() => runnerOf("--hide", `${directory}/none`)).toThrow("no such file or directory");
});

test("a runner's resources stand beside its slots, and one that is said twice is refused", () => {
  const capacityOf = (...flags: string[]) =>
    parseConfig(["--gateway", "https://a", "--data-dir", "/none", ...flags], { environment: {}, version: "1" })
      ?.capacity;

  expect(capacityOf()).toEqual({ slots: 1 });
  expect(capacityOf("--slots", "2", "--resource", "cpu=4", "--resource", "gpu=0.5")).toEqual({
    slots: 2,
    cpu: 4,
    gpu: 0.5,
  });
  expect(() => capacityOf("--resource", "cpu=4", "--resource", "cpu=8")).toThrow("cpu is given twice");
});
