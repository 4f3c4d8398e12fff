import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { settle, toConfig } from "../../server/src/config.ts";

const [key, cert, ca] = ["KEY", "CERT", "CA"].map((what) => `-----BEGIN ${what}-----\n`);
let directory: string;
/** What fits together; each test spoils or adds something. `$` stands for the directory. */
const byPassword = {
  overlay: "openziti",
  ziti_controller: "https://ctrl.example.com:1280",
  ziti_ca_file: "$/ca.pem",
  ziti_admin_username: "admin",
  ziti_admin_password_file: "$/password",
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "agyn-network-settings-"));
  const id = { key: "file://key.pem", cert: `pem:${cert}`, ca: `pem:${ca}` };
  const files = {
    "ca.pem": ca,
    "key.pem": key,
    password: "hidden\n",
    "identity.json": JSON.stringify({ ztAPI: "https://ctrl.example.com:1280/edge/client/v1", id }),
    "several.json": JSON.stringify({ ztAPI: "https://a:1280", ztAPIs: ["https://a:1280/edge", "https://b:1280"], id }),
    "half.json": JSON.stringify({ ztAPI: "https://ctrl.example.com:1280", id: { cert } }),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text!);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function networkOf(flags: Record<string, string>) {
  const here = Object.entries(flags).map(([name, value]) => [name, value.replace("$", directory)]);
  return toConfig(settle(Object.fromEntries(here) as Record<string, string>, {}, undefined)).network;
}

test("an administrator is named by a password, or by an identity file that also says where the network is", () => {
  expect(networkOf(byPassword)).toMatchObject({
    controllerUrl: "https://ctrl.example.com:1280",
    caPem: ca,
    administrator: { kind: "password", username: "admin", password: "hidden" },
    identityEnrollment: "ca",
    routerRoles: ["#all"],
  });
  expect(networkOf({ ...byPassword, ziti_identity_enrollment: "ott" })?.identityEnrollment).toBe("ott");
  expect(networkOf({ overlay: "mtls,openziti", ziti_admin_identity: "$/identity.json" })).toMatchObject({
    controllerUrl: "https://ctrl.example.com:1280",
    caPem: ca,
    administrator: { kind: "certificate", keyPem: key, certPem: cert },
  });
  expect(networkOf({})).toBeUndefined();
});

test.each<Record<string, string>>([
  { ...byPassword, ziti_controller: "https://a:1280, https://b:1280/edge" },
  { overlay: "openziti", ziti_admin_identity: "$/several.json" },
])("several controllers of a network are named by the setting, or by the identity file: %o", (flags) => {
  expect(networkOf(flags)).toMatchObject({
    controllerUrl: "https://a:1280",
    otherControllerUrls: ["https://b:1280"],
  });
});

test.each<[flags: Record<string, string>, error: string]>([
  [{ overlay: "opnziti" }, 'overlay: "opnziti": did you mean "openziti"?'],
  [{ overlay: "mtls", ziti_controller: "https://x" }, "ziti_controller: means nothing unless overlay names openziti"],
  [{ ...byPassword, ziti_controller: "https://a:1280," }, '"" is not a URL such as https://ctrl.example.com:1280'],
  [{ ...byPassword, ziti_controller: "http://ctrl:1280" }, "is not a URL such as https://ctrl.example.com:1280"],
  [
    { overlay: "openziti", ziti_controller: "https://ctrl", ziti_ca_file: "$/ca.pem" },
    "an administrator of the OpenZiti network is needed",
  ],
  [{ ...byPassword, ziti_admin_identity: "$/identity.json" }, "give it or ziti_admin_identity, not both"],
  [{ ...byPassword, ziti_ca_file: "$/password" }, "is not PEM"],
  [{ ...byPassword, ziti_ca_file: "$/none" }, "cannot be read"],
  [{ overlay: "openziti", ziti_admin_identity: "$/password" }, "is not JSON"],
  [{ overlay: "openziti", ziti_admin_identity: "$/half.json" }, "id.key is missing"],
  [{ ...byPassword, ziti_identity_enrollment: "otp" }, 'ziti_identity_enrollment: "otp": did you mean "ott"?'],
  [{ ...byPassword, ziti_router_roles: "public" }, '"public" is no role'],
  [{ ...byPassword, ziti_router_roles: "#all,#public" }, "#all stands by itself"],
  [
    { ...byPassword, ziti_service_prefix: "my services " },
    'ziti_service_prefix: "my services " is not made of up to 64 letters',
  ],
])("%j is refused", (flags, error) => {
  expect(() => networkOf(flags)).toThrow(error);
});
