import { expect, test } from "vitest";
import { jobsOf, startRun, stateName, untilRunEnded } from "../support/runs.ts";
import { createWorld, readWholeLog, type World } from "../support/world.ts";

const pipeline = `
jobs:
  deploy:
    secrets: [DEPLOY_KEY]
    run: test "$DEPLOY_KEY" = "$EXPECTED"
    env: { EXPECTED: "\${{ inputs.expected }}" }
inputs:
  expected: { required: true }
`;

async function runDeploy(world: World, project: string, expected: string) {
  const started = await world.admin.runs.startRun({
    project,
    pipeline: "deploy.yaml",
    content: Buffer.from(pipeline),
    inputs: { expected },
  });
  await untilRunEnded(world.admin, started.run!.id);
  return (await jobsOf(world.admin, started.run!.id))["deploy"]!;
}

test("a job gets the secret that it names, and a project's wins over the organization's", async () => {
  await using world = await createWorld();
  const { projects, secrets } = world.admin;
  world.startRunner(await world.register("build-1"));
  for (const name of ["web", "api"]) await projects.createProject({ name });
  await secrets.setSecret({ name: "DEPLOY_KEY", value: "of the organization" });
  await secrets.setSecret({ name: "DEPLOY_KEY", project: "web", value: "of web\nin two lines" });

  const web = await runDeploy(world, "web", "of web\nin two lines");
  const api = await runDeploy(world, "api", "of the organization");

  expect([web, api].map(stateName)).toEqual(["SUCCEEDED", "SUCCEEDED"]);
  const listed = await secrets.listSecrets({ project: "web" });
  expect(listed.secrets.map((one) => [one.name, one.projectName, one.lastUseTime !== undefined])).toEqual([
    ["DEPLOY_KEY", "", true],
    ["DEPLOY_KEY", "web", true],
  ]);
});

test("a job that names a secret of another organization or project, or one that was deleted, fails and says so", async () => {
  await using world = await createWorld();
  const { projects, secrets, organizations } = world.admin;
  for (const name of ["web", "api"]) await projects.createProject({ name });
  await organizations.createOrganization({ name: "other" });
  await secrets.setSecret({ organization: "other", name: "DEPLOY_KEY", value: "of another organization" });
  await secrets.setSecret({ name: "DEPLOY_KEY", project: "web", value: "of another project" });
  await secrets.setSecret({ name: "DEPLOY_KEY", value: "of this organization" });
  await secrets.deleteSecret({ name: "DEPLOY_KEY" });

  const job = await runDeploy(world, "api", "whatever");

  expect(stateName(job)).toBe("FAILED");
  expect(job.message).toBe("neither project api nor its organization has secret DEPLOY_KEY");
});

test("bad-38: the log of a job shows *** for a secret, and another organization's job cannot name it", async () => {
  await using world = await createWorld();
  const { organizations, runs, secrets } = world.admin;
  world.startRunner(await world.register("build-1"));
  await organizations.createOrganization({ name: "other" });
  await secrets.setSecret({ name: "DEPLOY_KEY", value: "s3cret-value" });
  const content = Buffer.from(
    `jobs: { deploy: { secrets: [DEPLOY_KEY], run: 'printf s3cret; echo "-value, $DEPLOY_KEY."' } }`,
  );

  const { run: own } = await runs.startRun({ pipeline: "deploy.yaml", content });
  const { run: strange } = await runs.startRun({ organization: "other", pipeline: "deploy.yaml", content });
  for (const run of [own!, strange!]) await untilRunEnded(world.admin, run.id);

  const { deploy } = await jobsOf(world.admin, own!.id);
  expect(await readWholeLog(world.admin, deploy!.workloadId)).toEqual(["***, ***."]);
  const refused = (await jobsOf(world.admin, strange!.id))["deploy"];
  expect([stateName(refused), refused!.message]).toEqual(["FAILED", "the organization has no secret DEPLOY_KEY"]);
});

test("a run that is not trusted gets no secrets, also when it is run again", async () => {
  await using world = await createWorld();
  const { runs, secrets } = world.admin;
  await secrets.setSecret({ name: "DEPLOY_KEY", value: "s3cret-value" });
  const job = "{ secrets: [DEPLOY_KEY], needs: build, run: 'true' }";
  const run = await startRun(world.admin, `jobs: { build: { run: 'true' }, deploy: ${job} }`);
  await world.database.sql`update run set cause = cause || '{"untrusted": true}'`;
  world.startRunner(await world.register("build-1"));
  await untilRunEnded(world.admin, run.id);

  await runs.rerunRun({ run: run.id, scope: { case: "failed", value: true } });
  await untilRunEnded(world.admin, run.id);

  for (const attempt of [1, 2]) {
    const { deploy } = await jobsOf(world.admin, run.id, attempt);
    expect(stateName(deploy)).toBe("FAILED");
    expect(deploy!.message).toMatch(/not trusted, so its jobs get no secrets; this one names secret DEPLOY_KEY$/);
  }
});

test("the audit says who set and deleted a secret, and no answer holds a value", async () => {
  await using world = await createWorld();
  const { projects, secrets, audit } = world.admin;
  await projects.createProject({ name: "web" });

  const set = await secrets.setSecret({ name: "DEPLOY_KEY", project: "web", value: "s3cret-value" });
  const listed = await secrets.listSecrets({ project: "web" });
  await secrets.deleteSecret({ name: "DEPLOY_KEY", project: "web" });

  const { auditEvents: events } = await audit.listAuditEvents({
    scope: { kind: { case: "organization", value: "default" } },
  });
  const ofSecrets = events.filter((event) => event.action.startsWith("secret."));
  expect(ofSecrets.map(({ action, objectName, details }) => ({ action, objectName, details }))).toEqual([
    { action: "secret.delete", objectName: "DEPLOY_KEY", details: { project: "web" } },
    { action: "secret.set", objectName: "DEPLOY_KEY", details: { project: "web" } },
  ]);
  const text = JSON.stringify([set, listed, events], (_key, value: unknown) =>
    typeof value === "bigint" ? "" : value,
  );
  expect(text).not.toContain("s3cret-value");
});

test("the audit says which job was given which secret, and an artifact's name cannot carry one", async () => {
  await using world = await createWorld();
  const { secrets, audit } = world.admin;
  await secrets.setSecret({ name: "DEPLOY_KEY", value: "s3cret-value" });
  const named = "secrets: [DEPLOY_KEY], run: 'true'";
  const kept = "artifacts: { upload: [{ name: 'a-s3cret-value', paths: [a] }] }";
  const run = await startRun(
    world.admin,
    `jobs: { deploy: { ${named} }, show: { ${named}, ${kept} }, test: { run: 'true' } }`,
  );

  const { deploy, show } = await jobsOf(world.admin, run.id);
  const scope = { kind: { case: "organization", value: "default" } } as const;
  const { auditEvents } = await audit.listAuditEvents({ scope, action: "secret.use" });

  expect(auditEvents).toHaveLength(1);
  const details = { job: `${run.number}/deploy`, attempt: "1" };
  expect(auditEvents[0]).toMatchObject({
    objectName: "DEPLOY_KEY",
    objectId: deploy!.id,
    actor: run.cause!.userId,
    details,
  });
  expect(stateName(show)).toBe("FAILED");
  expect(show!.message).toMatch(/^the name of an artifact holds the value of its secret DEPLOY_KEY/);
});

test("a job with more variables than a workload may have fails and says so", async () => {
  await using world = await createWorld();
  const env = (prefix: string) =>
    `{ ${Array.from({ length: 128 }, (_, number) => `${prefix}_${number}: x`).join(", ")} }`;

  const run = await startRun(world.admin, `{ env: ${env("A")}, jobs: { wide: { run: 'true', env: ${env("B")} } } }`);
  await untilRunEnded(world.admin, run.id);

  const { wide } = await jobsOf(world.admin, run.id);
  expect(stateName(wide)).toBe("FAILED");
  expect(wide!.message).toMatch(/^its environment has 26[0-9] variables .* more than 256$/);
});
