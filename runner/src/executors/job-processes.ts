import { existsSync } from "node:fs";

import { killCgroup } from "./cgroup.ts";
import { environmentMark } from "./launch.ts";
import { type JobMark, killRemains, signal } from "./process-tree.ts";
import { type ExecutionFiles, type ExecutionRecord, type ProcessIdentity, readJobPid } from "./record.ts";

/** What can be known of a job's processes beside its record: its wrapper, and what was seen to belong to it. */
export type KnownProcesses = { wrapper: ProcessIdentity | undefined; seen: ReadonlyMap<number, number> };

/** The processes of one job, as a runner finds and ends them. Each call looks anew at the files that the wrapper leaves. */
export type JobProcesses = {
  /** By what they are known now. */
  mark(known: KnownProcesses): JobMark;
  /** To the group of the job's session, unless the job has ended. SIGTERM also wakes what is stopped. */
  signal(name: NodeJS.Signals): void;
  /** Kills all that is found, wherever it went; `false`: some were still there after a while. */
  killAll(known: KnownProcesses): Promise<boolean>;
};

/** Of the job of a record, whose files are these. */
export function jobProcessesOf(record: ExecutionRecord, files: ExecutionFiles): JobProcesses {
  const mark = ({ wrapper, seen }: KnownProcesses): JobMark => ({
    wrapper,
    notBeforeTicks: wrapper?.startTicks ?? record.createBootTicks,
    jobPid: readJobPid(files),
    uid: record.uid,
    environment: environmentMark(record),
    seen,
  });
  return {
    mark,
    signal(name) {
      const jobPid = readJobPid(files);
      if (jobPid === undefined || existsSync(files.exit)) return;
      signal(-jobPid, name);
      if (name === "SIGTERM") signal(-jobPid, "SIGCONT");
    },
    killAll(known) {
      if (record.cgroup !== undefined) killCgroup(record.cgroup);
      return killRemains(mark(known));
    },
  };
}
