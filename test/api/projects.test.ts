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
