import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net, { type AddressInfo } from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { gatewayAgent, proxiesOf } from "../../runner/src/proxies.ts";
import { createId } from "../../wire/ids.ts";
import { openHttpProxy, type HttpProxyOptions } from "../overlay/http-proxy.ts";
import { createCertificate } from "../support/certificate.ts";
import { eventually } from "./eventually.ts";
import { controlPlaneOfTest, runnerOfTest, temporaryDirectory } from "./world.ts";

const main = join(import.meta.dirname, "../../runner/src/main.ts");
const plane = "plane.example:7071";
const password = "p@ss word";
const authorization = `Basic ${Buffer.from(`ada:${password}`).toString("base64")}`;

async function proxyOfTest(options: HttpProxyOptions) {
  const proxy = await openHttpProxy(options);
  onTestFinished(() => proxy.close());
  return { ...proxy, urlWithPassword: proxy.url.replace("http://", `http://ada:${encodeURIComponent(password)}@`) };
}

/** A control plane that says its runner plane is where only a proxy gets to. */
async function controlPlaneFarAway() {
  const controlPlane = await controlPlaneOfTest();
  controlPlane.script.endpoint = plane;
  return { controlPlane, places: { [plane]: controlPlane.runnerPlaneAddress } };
}

/** TLS in front of a gateway, for `gateway.example`. */
async function secureGateway(url: string) {
  const certificate = await createCertificate("gateway.example");
  const { hostname, port } = new URL(url);
  const server = tls.createServer(certificate, (socket) => {
    const inner = net.connect({ host: hostname, port: Number(port) });
    socket.on("error", () => inner.destroy()).on("close", () => inner.destroy());
    inner.on("error", () => socket.destroy());
    socket.pipe(inner).pipe(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  return { caFile: certificate.certFile, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

test("enrollment and runner plane go through a proxy by CONNECT, whose password no job and no log gets to see", async () => {
  const { controlPlane, places } = await controlPlaneFarAway();
  const { caFile, address } = await secureGateway(controlPlane.url);
  const proxy = await proxyOfTest({ places: { ...places, "gateway.example:443": address } });
  const data = join(temporaryDirectory(), "data");
  const args = ["--gateway", "https://gateway.example", "--ca-file", caFile, "--data-dir", data];
  const secrets = { HTTPS_PROXY: proxy.urlWithPassword, AGYN_SERVICE_TOKEN: controlPlane.tokenText };
  const env = { ...process.env, ...secrets };
  const runner = spawn(process.execPath, [main, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [runner.stdout, runner.stderr]) stream.on("data", (bytes: Buffer) => (output += String(bytes)));
  onTestFinished(() => void runner.kill("SIGKILL"));
  const session = await controlPlane.session(1);
  const workloadId = createId("workload");
  const look = { text: "env; cat /proc/$PPID/environ /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' || true" };
  const spec = { command: { case: "script" as const, value: look } };

  const facts = { workloadId, organizationId: createId("organization"), fence: 1n, executor: "process" };
  session.place({ ...facts, resources: { slots: 1 }, spec });
  await session.next("completed", workloadId);
  const log = await eventually(
    "the log",
    () => controlPlane.logs.get(workloadId)?.isEnded && controlPlane.logs.get(workloadId),
  );

  const asked = new Set(proxy.asked.map((request) => JSON.stringify(request)));
  const connects = ["gateway.example:443", plane].map((target) => JSON.stringify({ target, authorization }));
  expect(asked).toEqual(new Set(connects));
  const environment = readFileSync(`/proc/${runner.pid}/environ`, "latin1");
  expect([output, environment, ...log.lines].join("\n")).not.toMatch(/p@ss|p%40ss/);
});

test("a gateway without TLS is asked through HTTP_PROXY", async () => {
  const { controlPlane, places } = await controlPlaneFarAway();
  const gateway = new URL(controlPlane.url).host;
  const proxy = await proxyOfTest({ places: { ...places, "gateway.example:80": gateway } });
  const proxies = proxiesOf(undefined, { http_proxy: proxy.urlWithPassword, HTTPS_PROXY: proxy.urlWithPassword });

  await runnerOfTest(controlPlane, { gateway: "http://gateway.example", proxies });

  await controlPlane.session(1);
  const targets = proxy.asked.map(({ target }) => target.replace(/\/agyn.*/, ""));
  expect(new Set(targets)).toEqual(new Set(["http://gateway.example", plane]));
  expect(new Set(proxy.asked.map((request) => request.authorization))).toEqual(new Set([authorization]));
});

test("what is on this machine, and what NO_PROXY names, is reached directly", async () => {
  const controlPlane = await controlPlaneOfTest();
  const proxy = await proxyOfTest({ status: 403 });
  const proxies = proxiesOf(proxy.url, { NO_PROXY: "example.org" });

  await runnerOfTest(controlPlane, { proxies });

  await controlPlane.session(1);
  expect(proxy.asked).toEqual([]);
  expect(gatewayAgent("https://agyn.example.org", proxies)).toBeUndefined();
  expect(gatewayAgent("http://[::1]:7070", proxies)).toBeUndefined();
  expect(gatewayAgent("https://agyn.example.com", proxies)).toBeDefined();
});

test.each([
  [{ HTTPS_PROXY: "proxy:3128" }, "HTTPS_PROXY is not an http:// or https:// URL"],
  [{ http_proxy: "http://ada:50%@proxy" }, "http_proxy: its user or password is not percent-encoded as it should be"],
])("a proxy variable that cannot be used is named without its value: %j", (environment, message) => {
  expect(() => proxiesOf(undefined, environment)).toThrow(message);
});

test("the lower-case variable counts, the flag before both, and an empty one is none", () => {
  const environment = {
    https_proxy: "http://lower",
    HTTPS_PROXY: "http://upper",
    http_proxy: "",
    HTTP_PROXY: "http://plain",
  };
  expect(proxiesOf(undefined, environment)).toMatchObject({ httpsProxy: "http://lower/", httpProxy: "http://plain/" });
  expect(proxiesOf("http://flag", environment)).toMatchObject({ httpsProxy: "http://flag", httpProxy: "http://flag" });
  expect(proxiesOf(undefined, {})).not.toHaveProperty("httpsProxy");
});
