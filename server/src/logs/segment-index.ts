/** One log: the output of one workload under one fence. */
export type LogKey = { workloadId: string; fence: bigint };

/** Where the sealed lines `firstLine` up to (not including) `nextLine` of a log lie. Times are the caller's clock. */
export type LogSegment = LogKey & {
  firstLine: number;
  nextLine: number;
  blobKey: string;
  sizeBytes: number;
  /** Where in the blob the table of its chunks begins. */
  indexOffset: number;
  createTime: Date;
};

/** Which segments there are, and which logs ended; kept in shared storage. */
export type SegmentIndex = {
  /** Adds the row; of two with the same log and first line the longer one stays. */
  insert(segment: LogSegment): Promise<void>;
  /** The segments of a log by first line. */
  list(key: LogKey): Promise<LogSegment[]>;
  /** Notes that the log ends before `nextLine`; the first note stands. */
  markEnded(key: LogKey, nextLine: number, now: Date): Promise<void>;
  /** Where the log ended, or `undefined` while it did not. */
  endedAt(key: LogKey): Promise<number | undefined>;
  /** Removes every row of the workload, of all fences. */
  delete(workloadId: string): Promise<void>;
};
