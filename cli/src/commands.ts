import type { Command } from "./command.ts";
import { artifactsChecksums } from "./commands/artifacts-checksums.ts";
import { artifactsDelete } from "./commands/artifacts-delete.ts";
import { artifactsDownload } from "./commands/artifacts-download.ts";
import { artifactsGet } from "./commands/artifacts-get.ts";
import { artifactsList } from "./commands/artifacts-list.ts";
import { auditList } from "./commands/audit-list.ts";
import { completion } from "./commands/completion.ts";
import { cp } from "./commands/cp.ts";
import { exec } from "./commands/exec.ts";
import { explain } from "./commands/explain.ts";
import { help } from "./commands/help.ts";
import { jobsGet } from "./commands/jobs-get.ts";
import { membersList } from "./commands/members-list.ts";
import { membersRemove } from "./commands/members-remove.ts";
import { membersSet } from "./commands/members-set.ts";
import { orgsCreate } from "./commands/orgs-create.ts";
import { orgsDelete } from "./commands/orgs-delete.ts";
import { orgsGet } from "./commands/orgs-get.ts";
import { orgsList } from "./commands/orgs-list.ts";
import { orgsRename } from "./commands/orgs-rename.ts";
import { overlayDoctor } from "./commands/overlay-doctor.ts";
import { overlayStatus } from "./commands/overlay-status.ts";
import { pipelinesValidate } from "./commands/pipelines-validate.ts";
import { portForward } from "./commands/port-forward.ts";
import { projectsCreate } from "./commands/projects-create.ts";
import { projectsDelete } from "./commands/projects-delete.ts";
import { projectsGet } from "./commands/projects-get.ts";
import { projectsList } from "./commands/projects-list.ts";
import { projectsUpdate } from "./commands/projects-update.ts";
import { queue } from "./commands/queue.ts";
import { queueCancel } from "./commands/queue-cancel.ts";
import { queueExplain } from "./commands/queue-explain.ts";
import { queueLimits } from "./commands/queue-limits.ts";
import { queueMove } from "./commands/queue-move.ts";
import { queuePause } from "./commands/queue-pause.ts";
import { queueResume } from "./commands/queue-resume.ts";
import { run } from "./commands/run.ts";
import { runnersDelete } from "./commands/runners-delete.ts";
import { runnersDrain } from "./commands/runners-drain.ts";
import { runnersGet } from "./commands/runners-get.ts";
import { runnersList } from "./commands/runners-list.ts";
import { runnersMetrics } from "./commands/runners-metrics.ts";
import { runnersPause } from "./commands/runners-pause.ts";
import { runnersRegister } from "./commands/runners-register.ts";
import { runnersResume } from "./commands/runners-resume.ts";
import { runnersRevoke } from "./commands/runners-revoke.ts";
import { runnersRotateToken } from "./commands/runners-rotate-token.ts";
import { runnersUnlock } from "./commands/runners-unlock.ts";
import { runnersUpdate } from "./commands/runners-update.ts";
import { runnersWatch } from "./commands/runners-watch.ts";
import { secretsDelete } from "./commands/secrets-delete.ts";
import { secretsList } from "./commands/secrets-list.ts";
import { secretsSet } from "./commands/secrets-set.ts";
import { runsCancel } from "./commands/runs-cancel.ts";
import { runsExplain } from "./commands/runs-explain.ts";
import { runsGet } from "./commands/runs-get.ts";
import { runsJobs } from "./commands/runs-jobs.ts";
import { runsList } from "./commands/runs-list.ts";
import { runsLogs } from "./commands/runs-logs.ts";
import { runsRerun } from "./commands/runs-rerun.ts";
import { runsWatch } from "./commands/runs-watch.ts";
import { tokensCreate } from "./commands/tokens-create.ts";
import { tokensList } from "./commands/tokens-list.ts";
import { tokensRevoke } from "./commands/tokens-revoke.ts";
import { triggersCreate } from "./commands/triggers-create.ts";
import { triggersCreateToken } from "./commands/triggers-create-token.ts";
import { triggersDelete } from "./commands/triggers-delete.ts";
import { triggersDeliveries } from "./commands/triggers-deliveries.ts";
import { triggersDisable } from "./commands/triggers-disable.ts";
import { triggersEnable } from "./commands/triggers-enable.ts";
import { triggersGet } from "./commands/triggers-get.ts";
import { triggersList } from "./commands/triggers-list.ts";
import { triggersListTokens } from "./commands/triggers-list-tokens.ts";
import { triggersRedeliver } from "./commands/triggers-redeliver.ts";
import { triggersRevokeToken } from "./commands/triggers-revoke-token.ts";
import { triggersRotateSecret } from "./commands/triggers-rotate-secret.ts";
import { triggersSetCredential } from "./commands/triggers-set-credential.ts";
import { triggersTest } from "./commands/triggers-test.ts";
import { triggersUpdate } from "./commands/triggers-update.ts";
import { usersCreate } from "./commands/users-create.ts";
import { usersDelete } from "./commands/users-delete.ts";
import { usersGet } from "./commands/users-get.ts";
import { usersList } from "./commands/users-list.ts";
import { usersUpdate } from "./commands/users-update.ts";
import { version } from "./commands/version.ts";
import { webhooksCreate } from "./commands/webhooks-create.ts";
import { webhooksDelete } from "./commands/webhooks-delete.ts";
import { webhooksDeliveries } from "./commands/webhooks-deliveries.ts";
import { webhooksDisable } from "./commands/webhooks-disable.ts";
import { webhooksEnable } from "./commands/webhooks-enable.ts";
import { webhooksGet } from "./commands/webhooks-get.ts";
import { webhooksList } from "./commands/webhooks-list.ts";
import { webhooksRedeliver } from "./commands/webhooks-redeliver.ts";
import { webhooksRotateSecret } from "./commands/webhooks-rotate-secret.ts";
import { webhooksTest } from "./commands/webhooks-test.ts";
import { webhooksUpdate } from "./commands/webhooks-update.ts";
import { whoami } from "./commands/whoami.ts";
import { workloadsExplain } from "./commands/workloads-explain.ts";
import { workloadsGet } from "./commands/workloads-get.ts";
import { workloadsList } from "./commands/workloads-list.ts";
import { workloadsLogs } from "./commands/workloads-logs.ts";
import { workloadsStart } from "./commands/workloads-start.ts";
import { workloadsStop } from "./commands/workloads-stop.ts";
import { workloadsWatch } from "./commands/workloads-watch.ts";

/** Every command, in the order of the help. */
export const commands: readonly Command[] = [
  run,
  runsList,
  runsGet,
  runsJobs,
  runsLogs,
  runsWatch,
  runsRerun,
  runsCancel,
  runsExplain,
  jobsGet,
  queue,
  queueMove,
  queueCancel,
  queueExplain,
  queuePause,
  queueResume,
  queueLimits,
  projectsList,
  projectsGet,
  projectsCreate,
  projectsUpdate,
  projectsDelete,
  runnersList,
  runnersGet,
  runnersRegister,
  runnersUpdate,
  runnersPause,
  runnersResume,
  runnersDrain,
  runnersUnlock,
  runnersRotateToken,
  runnersRevoke,
  runnersDelete,
  runnersMetrics,
  runnersWatch,
  workloadsList,
  workloadsGet,
  workloadsStart,
  workloadsStop,
  workloadsExplain,
  workloadsLogs,
  workloadsWatch,
  exec,
  portForward,
  cp,
  explain,
  triggersList,
  triggersGet,
  triggersCreate,
  triggersUpdate,
  triggersEnable,
  triggersDisable,
  triggersDelete,
  triggersRotateSecret,
  triggersSetCredential,
  triggersTest,
  triggersDeliveries,
  triggersRedeliver,
  triggersCreateToken,
  triggersListTokens,
  triggersRevokeToken,
  webhooksList,
  webhooksGet,
  webhooksCreate,
  webhooksUpdate,
  webhooksEnable,
  webhooksDisable,
  webhooksDelete,
  webhooksRotateSecret,
  webhooksTest,
  webhooksDeliveries,
  webhooksRedeliver,
  pipelinesValidate,
  artifactsList,
  artifactsGet,
  artifactsDownload,
  artifactsChecksums,
  artifactsDelete,
  orgsList,
  orgsGet,
  orgsCreate,
  orgsRename,
  orgsDelete,
  usersList,
  usersGet,
  usersCreate,
  usersUpdate,
  usersDelete,
  membersList,
  membersSet,
  membersRemove,
  secretsList,
  secretsSet,
  secretsDelete,
  tokensList,
  tokensCreate,
  tokensRevoke,
  auditList,
  overlayStatus,
  overlayDoctor,
  whoami,
  help,
  version,
  completion,
];
