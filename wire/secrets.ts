/**
 * Values of one workload's secret variables in sum: a runner looks for each of them, in several forms, in all that the workload
 * writes.
 */
export const maximumSecretBytes = 128 * 1024;

/** What is shorter could be anything: to mask it would tell more than it hides, and make the output unreadable. */
export const minimumMasked_bytes = 6;
