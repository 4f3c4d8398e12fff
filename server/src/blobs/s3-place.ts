/** Which bucket, and how it is reached. Credentials come from where every program for S3 takes them: environment, file, machine. */
export type S3Place = {
  bucket: string;
  /** What every key begins with: empty, or ending in a slash. */
  prefix: string;
  /** `undefined`: that of AWS for the region. */
  endpoint: string | undefined;
  region: string;
  pathStyle: boolean;
  /** Where clients reach the bucket by links; `undefined`: nobody is given any. */
  publicEndpoint: string | undefined;
  /** How long a link is good for. */
  linkTtl_ms: number;
};
