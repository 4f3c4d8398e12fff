/** Brings what the control plane keeps in an OpenZiti network to what it should be, and says what differs. */
import type { Authority } from "../identity/authority.ts";
import {
  compareRecords,
  networkKinds,
  ownerOf,
  ownTags,
  resolveFields,
  wantedRecords,
  type Difference,
  type FoundRecord,
  type NetworkFacts,
  type NetworkKind,
  type WantedRecord,
} from "../domain/overlay-plan.ts";
import { OverlayError } from "../../../overlay/errors.ts";
import { quoted, type Management } from "../../../overlay/openziti/management.ts";

/** Calls to the controller that are under way at one time. */
const concurrency = 8;
/** A record may wait for another that it refers to, and an authority for its proof: each pass does what has become possible. */
const maximumPasses = 4;

/** What repairing needs to know and to do. */
export type RepairDeps = {
  management: Management;
  /** A certificate by one of our authorities for a name that the controller chose. */
  proveAuthority: Authority["proveAuthority"];
};

/** The records that carry our tags; of these, where `only` is given, those that have the same kind and name. Rejects with an `OverlayError`. */
export async function listOwnRecords(
  management: Management,
  trustDomain: string,
  signal: AbortSignal,
  only?: readonly WantedRecord[],
) {
  const tags = Object.entries(ownTags(trustDomain)).map(([tag, value]) => `tags.${tag}=${quoted(value)}`);
  const records: FoundRecord[] = [];
  for (const kind of networkKinds) {
    const names = only?.filter((one) => one.kind === kind).map(({ name }) => `name=${quoted(name)}`);
    if (names?.length === 0) continue;
    const filters = names === undefined ? tags : [...tags, `(${names.join(" or ")})`];
    const entities = await management.list(kind, filters.join(" and "), signal);
    records.push(...entities.map((entity) => ({ kind, id: entity.id, name: entity.name, fields: entity })));
  }
  return records;
}

/**
 * Makes, changes and removes until nothing differs. What lacks our tags is neither read nor touched: a name that such a record
 * has is an error, and the rest is done all the same. Rejects with the first error, or with the reason of `signal`.
 */
export async function repairNetwork(
  { management, proveAuthority }: RepairDeps,
  facts: NetworkFacts,
  signal: AbortSignal,
): Promise<void> {
  const { trustDomain } = facts;
  const wanted = wantedRecords(facts);
  let errors: unknown[] = [];
  for (let pass = 0; pass < maximumPasses; pass++) {
    const found = await listOwnRecords(management, trustDomain, signal);
    const differences = compareRecords(wanted, found).filter(({ is }) => is !== "same");
    if (differences.length === errors.length) break;

    errors = [];
    const apply = (one: Difference) => applyDifference({ management, proveAuthority, trustDomain, found, signal }, one);
    for (const stage of inStages(differences)) errors.push(...(await inTurns(stage, apply)));
    signal.throwIfAborted();
  }
  if (errors.length > 0) throw errors[0];
}

/** What is there too much goes first, the last kind before the first; then what is missing, in the order of kinds. */
function inStages(differences: readonly Difference[]): Difference[][] {
  const ofKind = (kind: NetworkKind, isLeftOver: boolean) =>
    differences.filter(
      (one) =>
        (one.is === "left over") === isLeftOver && (one.is === "left over" ? one.found : one.wanted).kind === kind,
    );
  const removing = networkKinds.toReversed().map((kind) => ofKind(kind, true));
  return [...removing, ...networkKinds.map((kind) => ofKind(kind, false))];
}

type Applying = {
  management: Management;
  proveAuthority: Authority["proveAuthority"];
  trustDomain: string;
  found: readonly FoundRecord[];
  signal: AbortSignal;
};

async function applyDifference(applying: Applying, difference: Difference): Promise<void> {
  const { management, found, signal } = applying;
  switch (difference.is) {
    case "same":
      return;
    case "left over":
      await management.remove(difference.found.kind, difference.found.id, signal);
      return;
    case "missing": {
      const { kind, name, fields } = difference.wanted;
      const resolved = resolveFields(fields, found);
      if (resolved === undefined) return;
      await management
        .create(kind, { name, ...resolved }, signal)
        .catch((error: unknown) => explainConflict(applying, difference.wanted, error));
      return;
    }
    case "changed":
      await changeRecord(applying, difference);
  }
}

/** Why a record could not be made: another's has its name, which is not ours to take over. Always rejects. */
async function explainConflict(
  { management, trustDomain, signal }: Applying,
  { kind, name }: WantedRecord,
  error: unknown,
): Promise<never> {
  const [theirs] = await management.list(kind, `name=${quoted(name)}`, signal).catch(() => []);
  const owner = theirs && ownerOf(theirs["tags"], trustDomain);
  if (owner === undefined) throw error;
  const advice = kind === "services" ? "; give this installation a ziti_service_prefix of its own" : "";
  const text = `${kind}: ${name} is there already, and is of ${owner}${advice}`;
  throw new OverlayError("address_unavailable", text, { cause: error });
}

async function changeRecord(
  { management, proveAuthority, found, signal }: Applying,
  { wanted, found: there, fields }: Extract<Difference, { is: "changed" }>,
): Promise<void> {
  const { kind } = wanted;
  // An authority's certificate cannot be changed: it is another authority.
  if (fields.includes("certPem")) return management.remove(kind, there.id, signal);

  const named = resolveFields(pick(wanted, fields), found);
  if (named !== undefined && Object.keys(named).length > 0) await management.change(kind, there.id, named, signal);
  if (fields.includes("disabled")) await management.setEnabled(there.id, wanted.isEnabled === true, signal);
  if (fields.includes("isVerified")) {
    const token = String(there.fields["verificationToken"]);
    const proof = await proveAuthority(String(wanted.fields["certPem"]), token);
    await management.verifyAuthority(there.id, proof, signal);
  }
}

function pick({ fields }: WantedRecord, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => names.includes(name)));
}

/** What some of them failed with; a few at a time. */
async function inTurns(all: readonly Difference[], apply: (one: Difference) => Promise<void>): Promise<unknown[]> {
  const errors: unknown[] = [];
  const left = all.values();
  const take = async () => {
    for (const one of left) {
      try {
        await apply(one);
      } catch (error) {
        errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, take));
  return errors;
}
