import type { ContentStore } from "../blobs/content-store.ts";
import { deleteArtifacts, listExpiredArtifacts, listStaleArtifacts, settleArtifact } from "../store/artifacts.ts";
import { sweepBundles } from "../store/bundles.ts";
import { sweepContents } from "../store/contents.ts";
import type { Sql } from "../store/database.ts";
import { dropUploads, listStaleUploads } from "../store/uploads.ts";

export type SweepArtifactsDeps = {
  sql: Sql;
  contents: ContentStore;
  uploadTimeout_ms: number;
  retention_ms: number;
  leads: () => boolean;
  onSettled: () => void;
};

/** A content that nothing refers to may be about to be referred to; after so long it is not. */
const unusedContent_ms = 600_000;
const rowsPerTurn = 500;

/** One turn of the loop that gives up uploads that stand still, and deletes what has expired or is not needed (I10). */
export function createArtifactSweeper(deps: SweepArtifactsDeps): () => Promise<void> {
  const { sql, contents, uploadTimeout_ms, retention_ms, leads, onSettled } = deps;
  return async () => {
    if (!leads()) return;
    const stale = await listStaleArtifacts(sql, uploadTimeout_ms, rowsPerTurn);
    const message = `its runner sent nothing of it for ${Math.round(uploadTimeout_ms / 1000)} s`;
    for (const id of stale) {
      await sql.begin((transaction) => settleArtifact(transaction, id, { state: "failed", message }));
    }
    const expired = await listExpiredArtifacts(sql, rowsPerTurn);
    if (expired.length > 0) await sql.begin((transaction) => deleteArtifacts(transaction, expired));
    if (stale.length + expired.length > 0) onSettled();
    const idle = await listStaleUploads(sql, uploadTimeout_ms, rowsPerTurn);
    if (idle.length > 0) await sql.begin((transaction) => dropUploads(transaction, idle));
    await sweepBundles(sql, retention_ms);
    await sweepContents(sql, unusedContent_ms, rowsPerTurn);
    await contents.sweepBlobs();
  };
}
