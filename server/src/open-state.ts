import { join } from "node:path";
import type { Logger } from "pino";
import type { Blobs } from "./blobs/blobs.ts";
import { createContentStore } from "./blobs/content-store.ts";
import { openBlobDirectory } from "./blobs/directory.ts";
import type { OnClose } from "./closing.ts";
import type { Config } from "./config.ts";
import { claimDataDirectory, writeSecretFile } from "./data-directory.ts";
import { refuseTakenAddresses } from "./free-ports.ts";
import { ensureFirstUser } from "./first-start.ts";
import { openMasterKey } from "./identity/master-key.ts";
import { openTrust } from "./identity/trust.ts";
import { openLogStore } from "./logs/log-store.ts";
import { createSealRequests } from "./logs/seal-requests.ts";
import {
  migrate,
  openDatabase,
  refuseAbsentDatabase,
  refuseUnsafeDatabase,
  type DatabaseTarget,
} from "./store/database.ts";
import { startEmbeddedPostgres } from "./store/embedded-postgres.ts";
import { openNotifications } from "./store/notifications.ts";
import { createSegmentIndex } from "./store/log-segments.ts";
import { clearSessionsOf } from "./store/runner-sessions.ts";
import { claimSetting } from "./store/settings.ts";

export type StateOptions = { config: Config; log: Logger; database: DatabaseTarget | undefined; onClose: OnClose };

/** What a server keeps, and the keys to it: data directory, database, trust, logs. */
export type State = Awaited<ReturnType<typeof openState>>;

/** Opens what outlives a process: data directory, database, keys, blobs and logs. Throws what `explainStartFailure` explains. */
export async function openState({ config, log, database, onClose }: StateOptions) {
  const directory = await claimDataDirectory(config.dataDir);
  onClose("data directory", () => directory.release());
  await refuseTakenAddresses(config.overlays.includes("mtls") ? [config.listen, config.runnerListen] : [config.listen]);
  const replicaId = directory.replicaId;
  const masterKey = await openMasterKey({ file: config.masterKeyFile, create: config.databaseUrl === undefined });
  const sql = openDatabase(
    database ?? (await findDatabase(config, directory.path, onClose)),
    config.databaseConnections,
  );
  onClose("database connections", () => sql.end({ timeout: 5 }));
  await refuseAbsentDatabase(sql);
  await refuseUnsafeDatabase(sql);
  await migrate(sql);
  const storeEpoch = await claimSetting<number>(sql, "store_epoch", 1);
  const { authority, nonceKey } = await openTrust(sql, masterKey, config.trustDomain, new Date());
  await ensureFirstUser({
    sql,
    log,
    writeToken: (text) => writeSecretFile(join(directory.path, "admin-token"), `${text}\n`),
  });
  await clearSessionsOf(sql, replicaId);
  const notifications = await openNotifications(sql, replicaId, log);
  onClose("notifications", () => notifications.close());
  const sealRequests = createSealRequests({ sql, replicaId, notifications });
  const blobs = await openBlobs({ config, log, onClose, replicaId });
  const contents = createContentStore({ sql, blobs });
  const logStore = await openLogStore({
    directory: join(directory.path, "log-journal"),
    blobs,
    segments: createSegmentIndex(sql),
    askOthers: sealRequests.ask,
    onError: (error) => log.error({ err: error }, "log store failed"),
  });
  onClose("logs", () => logStore.close());
  return {
    sql,
    masterKey,
    authority,
    nonceKey,
    logStore,
    contents,
    notifications,
    sealRequests,
    writer: { replicaId, storeEpoch },
    directory: directory.path,
  };
}

type BlobsOptions = Omit<StateOptions, "database"> & { replicaId: string };

/** The operator's bucket, or a directory. */
async function openBlobs({ config, log, onClose, replicaId }: BlobsOptions): Promise<Blobs> {
  if (config.s3 === undefined) return openBlobDirectory({ directory: config.blobDir, owner: replicaId });
  // Its client is large, and few need it.
  const { openS3Blobs } = await import("./blobs/s3.ts");
  const onError = (error: unknown): void => log.error({ err: error }, "blob store failed");
  const blobs = await openS3Blobs({ ...config.s3, onError });
  onClose("blobs", () => Promise.resolve(blobs.close()));
  return blobs;
}

/** The operator's database, or an embedded one that runs as long as the server. */
export async function findDatabase(config: Config, directory: string, onClose: OnClose): Promise<DatabaseTarget> {
  if (config.databaseUrl !== undefined) return { kind: "url", url: config.databaseUrl };
  const embedded = await startEmbeddedPostgres(join(directory, "postgres"));
  onClose("embedded PostgreSQL", () => embedded.stop());
  return { kind: "embedded", connection: embedded.connection };
}
