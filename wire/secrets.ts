/**
 * Values of one workload's secret variables in sum: a runner looks for each of them, in several forms, in all that the workload
 * writes.
 */
export const maximumSecretBytes = 128 * 1024;
