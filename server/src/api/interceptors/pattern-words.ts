const lineText = "must hold no control characters";
const noNul = "must hold no NUL";
const printable = "must be printable ASCII";
const visible = "must be printable ASCII without spaces";
const ends = "and begin and end with a letter or digit";
const name = `must be lower-case letters, digits, ".", "_" or "-", ${ends}`;
const reference = 'must be lower-case letters, digits, ".", "_" or "-"';
const word = 'must be lower-case letters, digits or "-"';
const runnerId = "must be a runner's id: rnr_ and 16 characters of a-z and 2-7";
const workloadId = "must be a workload's id: wkl_ and 16 characters of a-z and 2-7";

const path = "must be a relative path without control characters";

/** Every pattern of the contract, and what it asks for in words. */
const wordsOf: Readonly<Record<string, string>> = {
  "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$": name,
  "^([a-z0-9]([a-z0-9._-]*[a-z0-9])?)?$": name,
  "^[a-z0-9]([a-z0-9._:-]*[a-z0-9])?$": `must be lower-case letters, digits, ".", "_", ":" or "-", ${ends}`,
  "^[a-z0-9._-]+$": reference,
  "^[a-z0-9._-]*$": reference,
  "^[a-zA-Z0-9._/-]+$": 'must be letters, digits, ".", "_", "/" or "-"',
  "^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$": `must be letters, digits, ".", "_", "/" or "-", ${ends}`,
  "^[a-zA-Z0-9._-]+$": 'must be letters, digits, ".", "_" or "-"',
  "^#?[a-z0-9_]+$": "must be a run's number, such as 17, or its id",
  "^[^\\x00-\\x1f\\x7f]+$": lineText,
  "^([^/\\x00-\\x1f\\x7f][^\\x00-\\x1f\\x7f]*)?$": path,
  "^[^/\\x00-\\x1f\\x7f][^\\x00-\\x1f\\x7f]*$": path,
  "^[A-Za-z_][A-Za-z0-9_-]*$": 'must be letters, digits, "_" or "-", and not begin with a digit or "-"',
  "^[0-9a-f]{64}$": "must be a SHA-256 in lower-case hexadecimal",
  "^art_[a-z2-7]{16}$": "must be an artifact's id: art_ and 16 characters of a-z and 2-7",
  "^upl_[a-z2-7]{16}$": "must be an upload's id: upl_ and 16 characters of a-z and 2-7",
  "^tnl_[a-z2-7]{16}$": "must be a tunnel's id: tnl_ and 16 characters of a-z and 2-7",
  "^([0-9a-f]{64})?$": "must be a SHA-256 in lower-case hexadecimal",
  "^(run_[a-z2-7]{16})?$": "must be a run's id: run_ and 16 characters of a-z and 2-7",
  "^https?://[^\\x00-\\x20]+$": "must be a URL that begins with https:// or http://",
  "^(https?://[^\\x00-\\x20]+)?$": "must be a URL that begins with https:// or http://",
  "^([a-z]+|[*])[.]([a-z]+|[*])$":
    "must be a type of event such as run.failed, where * stands for any: job.*, *.failed",
  "^whd_[a-z2-7]{16}$": "must be a delivery's id: whd_ and 16 characters of a-z and 2-7",
  "^dlv_[a-z2-7]{16}$": "must be a delivery's id: dlv_ and 16 characters of a-z and 2-7",
  "^(never|unavailable|full)?$": "must be never, unavailable or full",
  "^((https?|ssh|git|file)://[^\\x00-\\x20]+)?$":
    "must be a URL that begins with https://, http://, ssh://, git:// or file://",
  "^[a-z0-9-]+$": word,
  "^[a-z0-9-]*$": word,
  "^[a-z0-9_]*$": "must be a whole id",
  "^[a-z._]*$": 'must be lower-case letters, "." or "_", such as runner.enroll',
  "^[a-z_]+[.][a-z_]+$": "must be the name of a permission, such as runners.read",
  "^[a-z0-9.]*$": 'must be lower-case letters, digits or "."',
  "^[A-Z0-9+]*$": 'must be upper-case letters, digits or "+"',
  "^[A-Za-z0-9_-]*$": "must be a page token from an earlier answer",
  "^rnr_[a-z2-7]{16}$": runnerId,
  "^(rnr_[a-z2-7]{16})?$": runnerId,
  "^wkl_[a-z2-7]{16}$": workloadId,
  "^(wkl_[a-z2-7]{16})?$": workloadId,
  "^[!-~]*$": visible,
  "^[ -~]*$": printable,
  "^[^\\x00]*$": noNul,
  "^[^\\x00-\\x1f]*$": lineText,
  "^[^\\x00-\\x1f\\x7f]*$": lineText,
  "^([^/\\x00][^\\x00]*)?$": "must be a relative path without NUL",
  "^[A-Za-z_][A-Za-z0-9_]*$": 'must be letters, digits or "_", and not begin with a digit',
  "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$": "must be an address or a range of addresses, such as 10.0.0.0/8",
  "^(https?|ssh|git|file)://[^\\x00-\\x20]+$":
    "must be a URL that begins with http://, https://, ssh://, git:// or file://",
  "^([A-Za-z0-9_][A-Za-z0-9_./+@#=-]*)?$":
    'must be letters, digits or any of "_./+@#=-", and begin with a letter, a digit or "_"',
};

/** What a pattern of the contract asks for; undefined for one that is not of it. */
export function patternWords(pattern: string): string | undefined {
  return wordsOf[pattern];
}
