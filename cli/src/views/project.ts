import { ProjectSchema, type Project } from "../../../proto/gen/agyn/projects/v1/projects_service_pb.ts";
import { age, instant, messageJson, type View } from "../view.ts";

const limitText = (value: number): string => (value === 0 ? "none" : String(value));

export const projectView: View<Project> = {
  noun: "projects",
  id: ({ id }) => id,
  toJson: messageJson(ProjectSchema),
  columns: [
    { header: "NAME", value: ({ name }) => name },
    { header: "ID", value: ({ id }) => id },
    { header: "SOURCE", value: ({ sourceUrl }) => sourceUrl },
    { header: "REF", value: ({ defaultRef }) => defaultRef },
    { header: "WEIGHT", value: ({ weight }) => String(weight) },
    { header: "MAX RUNNING", value: ({ maximumRunningJobs }) => limitText(maximumRunningJobs) },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
    { header: "RETENTION", value: retentionText, isWide: true },
  ],
  details: (project) => [
    ["name", project.name],
    ["id", project.id],
    ["organization", project.organizationId],
    ["source", project.sourceUrl],
    ["default ref", project.defaultRef],
    ["weight", String(project.weight)],
    ["running jobs at most", limitText(project.maximumRunningJobs)],
    ["ended runs stay", retentionText(project)],
    ["created", instant(project.createTime)],
    ["changed", instant(project.updateTime)],
  ],
};

function retentionText({ retentionDays }: Project): string {
  return retentionDays === 0 ? "server's default" : `${retentionDays} days`;
}
