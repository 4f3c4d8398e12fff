/** What the user can mend; its message is all that is shown. */
export class InstallError extends Error {}

const oldestNode = 18;

/**
 * Why agyn cannot be installed here at all, or `undefined` where it can.
 * @param {{ platform: string, arch: string, versions: { node: string } }} machine as `process` describes it
 */
export function unsupported(machine) {
  if (Number.parseInt(machine.versions.node, 10) < oldestNode) {
    return `Node ${machine.versions.node} is too old to install with: install Node ${oldestNode} or newer and run again`;
  }
  if (machine.platform !== "linux") {
    return `agyn runs on Linux, this is ${machine.platform}: use a Linux machine, a virtual machine or WSL 2`;
  }
  if (machine.arch !== "x64" && machine.arch !== "arm64") {
    return `agyn needs an x64 or arm64 processor, this is ${machine.arch}`;
  }
  return undefined;
}

const causes = [
  {
    pattern: /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|network/,
    advice: "npm cannot reach its registry: check the network, the proxy and `npm config get registry`, then run again",
  },
  { pattern: /ENOSPC/, advice: "the disk is full: the dependencies need about 1 GB" },
  { pattern: /EACCES|EPERM|EROFS/, advice: "npm may not write here: run as the owner of this folder" },
  {
    pattern: /CERT|self.signed|issuer certificate/i,
    advice: "npm does not trust the registry's certificate: set NODE_EXTRA_CA_CERTS to your authority's file",
  },
];

const shownLines = 12;

/**
 * What went wrong in npm, and what to do, from what it wrote.
 * @param {string} output the end of npm's output
 */
export function explainNpmFailure(output) {
  const advice = causes.find((cause) => cause.pattern.test(output))?.advice ?? "npm install failed";
  const lines = output.trim().split("\n").slice(-shownLines);
  return `${advice}\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
