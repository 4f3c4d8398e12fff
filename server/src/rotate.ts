import type { OnClose } from "./closing.ts";
import { claimDataDirectory } from "./data-directory.ts";
import type { Config } from "./config.ts";
import { rotateMasterKey } from "./identity/rotate-master-key.ts";
import { findDatabase } from "./open-state.ts";
import { migrate, openDatabase, refuseAbsentDatabase, refuseUnsafeDatabase } from "./store/database.ts";

/** Gives the server of this configuration, which must not run, another master key; answers what to tell the operator. */
export async function rotate(config: Config): Promise<string> {
  const closings: (() => Promise<void>)[] = [];
  const onClose: OnClose = (_what, close) => void closings.unshift(close);
  try {
    const directory = await claimDataDirectory(config.dataDir);
    onClose("data directory", () => directory.release());
    const sql = openDatabase(await findDatabase(config, directory.path, onClose), config.databaseConnections);
    onClose("database connections", () => sql.end({ timeout: 5 }));
    await refuseAbsentDatabase(sql);
    await refuseUnsafeDatabase(sql);
    await migrate(sql);
    const { id, sealed, retired } = await rotateMasterKey(sql, config.masterKeyFile);
    return [
      `master key ${id} is in force: ${sealed} values are sealed under it`,
      `the old key is in ${retired.join(", ")}: backups of the database made before now need it, nothing else does`,
      ...(config.databaseUrl === undefined
        ? []
        : [`copy ${config.masterKeyFile} to every other server before it starts`]),
    ].join("\n");
  } finally {
    for (const close of closings) await close();
  }
}
