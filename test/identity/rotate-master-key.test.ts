import { create } from "@bufbuild/protobuf";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { WorkloadSpecSchema } from "../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { readKeyFile, replaceKeyFile } from "../../server/src/identity/key-file.ts";
import { masterKeyOf, openMasterKey } from "../../server/src/identity/master-key.ts";
import { rotateMasterKey } from "../../server/src/identity/rotate-master-key.ts";
import { openSecret, sealSecret } from "../../server/src/identity/sealed-secret.ts";
import { resealSpec, sealSpec } from "../../server/src/identity/sealed-spec.ts";
import { openTrust } from "../../server/src/identity/trust.ts";
import { createWebhookKey, openWebhookKey } from "../../server/src/identity/webhook-key.ts";
import { acquireLeadership } from "../../server/src/store/leader.ts";
import { putSecret, useSecrets } from "../../server/src/store/secrets.ts";
import {
  createSecret,
  openCredential,
  openSecret as openSecretOfTrigger,
  sealCredential,
} from "../../server/src/triggers/trigger-secret.ts";
import { createTestDatabase } from "../support/postgres.ts";

const organizationId = "org_aaaaaaaaaaaaaaaa";
const scope = { organizationId, projectId: null };

/** A database that a server has used, with 250 secrets, and the file of its key. */
async function openUsed() {
  const directory = await mkdtemp(join(tmpdir(), "agyn-rotate-"));
  const database = await createTestDatabase();
  const { sql } = database;
  const file = join(directory, "master.key");
  const masterKey = await openMasterKey({ file, create: true });
  const trust = await openTrust(sql, masterKey, undefined, new Date());
  await sql`insert into organization (id, name) values (${organizationId}, 'acme')`;
  for (let number = 0; number < 250; number++) {
    const of = { ...scope, name: `SECRET_${number}` };
    await putSecret(sql, { ...of, sealed: sealSecret(`value ${number}`, masterKey, of), setBy: "usr_a" }, 1000);
  }
  return {
    ...{ directory, sql, file, masterKey, trust },
    async [Symbol.asyncDispose]() {
      await database.drop();
      await rm(directory, { recursive: true });
    },
  };
}

type Used = Awaited<ReturnType<typeof openUsed>>;

/** Whether the key of the file alone opens all there is. */
async function expectAllOpens({ sql, file, trust }: Used) {
  const masterKey = await openMasterKey({ file, create: false });
  expect((await openTrust(sql, masterKey, undefined, new Date())).nonceKey).toEqual(trust.nonceKey);
  const rows = await useSecrets(sql, scope, ["SECRET_0", "SECRET_249"]);
  expect(rows.map((row) => openSecret(row, masterKey))).toEqual(["value 0", "value 249"]);
}

test("a rotation seals everything under a new key, and keeps the old one in a file of its own", async () => {
  await using used = await openUsed();
  const before = await readFile(used.file, "utf8");

  const rotation = await rotateMasterKey(used.sql, used.file);

  expect(rotation).toMatchObject({ sealed: 252, retired: [`${used.file}.${used.masterKey.id}`] });
  expect(await readKeyFile(used.file)).toHaveLength(1);
  expect(await readFile(rotation.retired[0]!, "utf8")).toBe(before);
  expect(await readdir(used.directory)).toHaveLength(2);
  await expectAllOpens(used);
});

test("a rotation that was interrupted leaves everything readable, and the next goes on under the same key", async () => {
  await using used = await openUsed();
  const [old] = (await readKeyFile(used.file))!;
  const next = randomBytes(32);
  await replaceKeyFile(used.file, [next, old]);
  const both = masterKeyOf(next, old);
  const of = { ...scope, name: "SECRET_249" };
  await putSecret(used.sql, { ...of, sealed: sealSecret("value 249", both, of), setBy: "usr_a" }, 1000);
  await expectAllOpens(used);

  expect(await rotateMasterKey(used.sql, used.file)).toMatchObject({ id: both.id, sealed: 251 });
  await expectAllOpens(used);
});

test("a batch that fails seals nothing of itself, and the old key stays", async () => {
  await using used = await openUsed();
  await used.sql`update secret set sealed = 'damaged' where name = 'SECRET_200'`;

  await expect(rotateMasterKey(used.sql, used.file)).rejects.toThrow("secret SECRET_200: not a sealed value");

  expect(await readKeyFile(used.file)).toHaveLength(2);
  await expectAllOpens(used);
});

test("nothing is rotated while a server leads, or under the key of another database", async () => {
  await using used = await openUsed();
  const other = join(used.directory, "other.key");
  await openMasterKey({ file: other, create: true });
  await expect(rotateMasterKey(used.sql, other)).rejects.toThrow("it is not this database's");

  await acquireLeadership(used.sql, "a server", 60_000, true);
  await expect(rotateMasterKey(used.sql, used.file)).rejects.toThrow("stop every server");
  expect(await readKeyFile(used.file)).toHaveLength(1);
});

test("the specs of live workloads and of queued jobs are sealed anew, those that ended are left", async () => {
  await using used = await openUsed();
  const { sql, file, masterKey } = used;
  const spec = create(WorkloadSpecSchema, { environment: [{ name: "TOKEN", value: "s3cret", secret: true }] });
  const sealed = sealSpec(spec, organizationId, masterKey);
  for (const key of [1, 2]) {
    await sql`insert into workload (key, id, organization_id, pending_timeout_ms, created_by, spec, demand)
      values (${key}, ${`wkl_${key}`}, ${organizationId}, 1, '', ${sealed}, '{}')`;
  }
  await sql`insert into workload_life (key, fence, id, organization_id, phase) values (1, 1, 'wkl_1', ${organizationId}, 'running')`;
  await sql`insert into run (id, organization_id, number, pipeline, name, content, definition, inputs, labels, ref, commit_id,
      bundle_digest, source_url, cause, state)
    values ('run_1', ${organizationId}, 1, '', '', '', '{}', '{}', '{}', '', '', '', '', '{}', 'running')`;
  await sql`insert into job (id, organization_id, run_id, run_number, attempt, name, definition, state, spec)
    select 'job_' || state, ${organizationId}, 'run_1', 1, 1, state, '', state, ${sealed} from unnest(array['queued', 'failed']) as state`;

  await rotateMasterKey(sql, file);

  const specs = await sql<{ id: string; spec: Uint8Array }[]>`
    select id, spec from workload union all select id, spec from job order by id`;
  const next = await openMasterKey({ file, create: false });
  const changed = specs.filter((row) => !Buffer.from(sealed).equals(row.spec));
  expect(changed.map(({ id }) => id)).toEqual(["job_queued", "wkl_1"]);
  for (const row of changed) expect(resealSpec(row.spec, organizationId, next)).toBeUndefined();
});

test("secrets and credentials of triggers, and both secrets of webhooks, are sealed anew", async () => {
  await using used = await openUsed();
  const { sql, file, masterKey } = used;
  const trigger = createSecret("trg_1", masterKey);
  const credential = sealCredential("trg_1", "a token", masterKey);
  const [key, before] = [createWebhookKey("whk_1", masterKey), createWebhookKey("whk_1", masterKey)];
  await sql`insert into project (id, organization_id, name) values ('prj_1', ${organizationId}, 'web')`;
  await sql`insert into trigger (id, organization_id, project_id, name, secret, credential)
    values ('trg_1', ${organizationId}, 'prj_1', 'hook', ${trigger.sealed}, ${credential})`;
  await sql`insert into webhook (id, organization_id, name, url, secret, previous_secret, created_by)
    values ('whk_1', ${organizationId}, 'chat', '', ${key.sealed}, ${before.sealed}, '')`;

  expect(await rotateMasterKey(sql, file)).toMatchObject({ sealed: 256 });

  const next = await openMasterKey({ file, create: false });
  const [row] = await sql<{ secret: Uint8Array; credential: Uint8Array; now: Uint8Array; before: Uint8Array }[]>`
    select t.secret, t.credential, w.secret as now, w.previous_secret as before from trigger t, webhook w`;
  expect(openSecretOfTrigger({ id: "trg_1", sealedSecret: row!.secret }, next)).toBe(trigger.secret);
  expect(openCredential({ triggerId: "trg_1", sealedCredential: row!.credential }, next)).toBe("a token");
  const opened = [row!.now, row!.before].map((one) => Buffer.from(openWebhookKey("whk_1", one, next)));
  expect(opened).toEqual([Buffer.from(key.key), Buffer.from(before.key)]);
});
