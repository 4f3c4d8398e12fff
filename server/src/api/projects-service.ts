import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ProjectsService } from "../../../proto/gen/agyn/projects/v1/projects_service_pb.ts";
import { createId } from "../../../wire/ids.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { toPage } from "../store/paging.ts";
import {
  deleteProject,
  insertProject,
  listProjects,
  updateProject,
  type Project,
  type ProjectSettings,
} from "../store/projects.ts";
import { auditOf } from "./audit.ts";
import { targetOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { maskedFields } from "./update-mask.ts";

export type ProjectsDeps = {
  sql: Sql;
  /** A project's share or limit may have changed. */
  onQueueChanged: () => void;
  /** Whether a project's source may be on this machine's disk. */
  allowFileSources: boolean;
};

/** The contract's name of each field that an update may change. */
const fields = {
  name: "name",
  source_url: "sourceUrl",
  default_ref: "defaultRef",
  weight: "weight",
  maximum_running_jobs: "maximumRunningJobs",
  retention_days: "retentionDays",
} as const satisfies Record<string, keyof ProjectSettings>;

/** Projects with their settings; what changes the order or the limits of the queue also wakes it. */
export function createProjectsService(deps: ProjectsDeps): ServiceImpl<typeof ProjectsService> {
  const { sql, onQueueChanged } = deps;
  return {
    async createProject(request, context) {
      const { organization } = targetOf(context, "organization");
      refuseIdAsName("project", request.name);
      const settings = { ...settingsOf(request), weight: request.weight || 1 };
      refuseFileSource(settings.sourceUrl, deps);
      const project = await sql.begin(async (transaction) => {
        const made = await insertProject(transaction, {
          id: createId("project"),
          organizationId: organization.id,
          ...settings,
        });
        await insertAuditEvent(transaction, auditOf(context, { ...about(made), action: "project.create" }));
        return made;
      });
      onQueueChanged();
      return { project: toProto(project) };
    },

    getProject(_request, context) {
      return { project: toProto(targetOf(context, "project").project) };
    },

    async listProjects(request, context) {
      const { organization } = targetOf(context, "organization");
      const { rows, nextToken } = await listProjects(sql, organization.id, toPage(request));
      return { projects: rows.map(toProto), nextPageToken: nextToken };
    },

    async updateProject(request, context) {
      const { project } = targetOf(context, "project");
      const settings = maskedFields(request, fields);
      if (settings.name === "") throw invalidField("name", "it must not be empty");
      if (settings.name !== undefined) refuseIdAsName("project", settings.name);
      if (settings.sourceUrl !== undefined) refuseFileSource(settings.sourceUrl, deps);
      if (settings.weight === 0) settings.weight = 1;
      const updated = await sql.begin(async (transaction) => {
        const row = await updateProject(transaction, project.id, settings);
        if (!row) throw notFound("project", request.project);
        const details = { fields: request.updateMask!.paths.join(" ") };
        await insertAuditEvent(transaction, auditOf(context, { ...about(row), action: "project.update", details }));
        return row;
      });
      onQueueChanged();
      return { project: toProto(updated) };
    },

    async deleteProject(_request, context) {
      const { project } = targetOf(context, "project");
      await sql.begin(async (transaction) => {
        const live = await deleteProject(transaction, project.id);
        if (live > 0) {
          throw new AgynError(
            "STATE",
            `${live} runs of project ${project.name} are live: wait for them, or cancel them`,
          );
        }
        await insertAuditEvent(transaction, auditOf(context, { ...about(project), action: "project.delete" }));
      });
      onQueueChanged();
      return {};
    },
  };
}

/** Said when the project is made, not first when a run of it cannot be fetched. */
function refuseFileSource(sourceUrl: string, { allowFileSources }: ProjectsDeps): void {
  if (allowFileSources || !sourceUrl.startsWith("file:")) return;
  throw invalidField(
    "source_url",
    "file:// names this server's own disk, which its setting file_sources does not allow",
  );
}

function settingsOf(from: ProjectSettings): ProjectSettings {
  const { name, sourceUrl, defaultRef, weight, maximumRunningJobs, retentionDays } = from;
  return { name, sourceUrl, defaultRef, weight, maximumRunningJobs, retentionDays };
}

function about({ id, name, organizationId }: Project) {
  return { scope: { kind: "organization" as const, organizationId }, objectId: id, objectName: name };
}

function toProto(project: Project) {
  return {
    id: project.id,
    organizationId: project.organizationId,
    ...settingsOf(project),
    createTime: timestampFromDate(project.createTime),
    updateTime: timestampFromDate(project.updateTime),
  };
}
