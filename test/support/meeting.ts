import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A place that jobs of any user may enter: they wait there until they are released, then leave a proof. */
export async function createMeeting() {
  const directory = await mkdtemp(join(tmpdir(), "agyn-meeting-"));
  await chmod(directory, 0o777);
  const [go, proof] = [join(directory, "go"), join(directory, "proof")];
  return {
    proof,
    script: `echo waiting\nuntil test -e ${go}; do sleep 0.05; done\nmkdir -p ${proof}`,
    release: () => writeFile(go, ""),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
