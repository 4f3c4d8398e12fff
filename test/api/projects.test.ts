import { expect, test } from "vitest";
import { outcomeOf } from "../support/runner-client.ts";
import { createWorld } from "../support/world.ts";

const onDisk = { sourceUrl: "file:///srv/git/web.git" };

test("a project's source on the server's own disk is refused where it is named, unless the server allows it", async () => {
  await using world = await createWorld();
  const { projects } = world.admin;
  const create = (name: string) => projects.createProject({ organization: "default", name, ...onDisk });
  await projects.createProject({ organization: "default", name: "web" });

  const refused = [
    await outcomeOf(create("other")),
    await outcomeOf(
      projects.updateProject({
        project: "web",
        ...onDisk,
        organization: "default",
        updateMask: { paths: ["source_url"] },
      }),
    ),
  ];
  await world.restartServer({ file_sources: "true" });
  const { project } = await create("other");

  expect(refused).toEqual(["INVALID_ARGUMENT", "INVALID_ARGUMENT"]);
  expect(project).toMatchObject(onDisk);
});

test("changes of a project's settings that are made at once all hold", async () => {
  await using world = await createWorld();
  const { projects } = world.admin;
  await projects.createProject({ name: "web" });
  const changes = [
    { updateMask: { paths: ["default_ref"] }, defaultRef: "main" },
    { updateMask: { paths: ["weight"] }, weight: 7 },
    { updateMask: { paths: ["maximum_running_jobs"] }, maximumRunningJobs: 3 },
    { updateMask: { paths: ["retention_days"] }, retentionDays: 9 },
  ];

  await Promise.all(changes.map((change) => projects.updateProject({ project: "web", ...change })));

  const { project } = await projects.getProject({ project: "web" });
  expect(project).toMatchObject({ defaultRef: "main", weight: 7, maximumRunningJobs: 3, retentionDays: 9 });
});
