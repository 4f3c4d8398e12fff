/** What an OpenZiti network has of ours now. Nothing here changes anything. */
import type { Advice, EdgeRouter, Management } from "../../../overlay/openziti/management.ts";
import { quoted } from "../../../overlay/openziti/management.ts";
import type { DialFindings } from "../domain/overlay-diagnosis.ts";
import {
  authorityName,
  compareRecords,
  runnerIdentityName,
  serviceNames,
  wantedRecords,
  type Difference,
  type NetworkFacts,
  type NetworkKind,
} from "../domain/overlay-plan.ts";
import { authenticatorOf } from "./enroll-identity.ts";
import { listOwnRecords } from "./repair.ts";

/** What is asked for by name, of what is missing, to see whether somebody else has the name. */
const namesAsked = 20;

/** A network, in comparison to what it should have. */
export type NetworkView = {
  version: string;
  routers: readonly EdgeRouter[];
  /** How many records of ours there should be. */
  wanted: number;
  /** Those that are not as they should be. */
  differences: readonly Exclude<Difference, { is: "same" }>[];
  /** Names, as "kind name", that are missing because somebody else has them. */
  foreign: ReadonlySet<string>;
  /** How many replicas host the runner plane, by router. */
  hosts: number;
};

/** Rejects with an `OverlayError`, or with the reason of `signal`. */
export async function inspectNetwork(
  management: Management,
  facts: NetworkFacts,
  signal: AbortSignal,
): Promise<NetworkView> {
  const { version } = await management.version(signal);
  const routers = await management.routers(signal);
  const wanted = wantedRecords(facts);
  const found = await listOwnRecords(management, facts.trustDomain, signal);
  const differences = compareRecords(wanted, found).filter((one) => one.is !== "same");
  const foreign = new Set<string>();
  for (const one of differences.filter(({ is }) => is === "missing").slice(0, namesAsked)) {
    if (one.is !== "missing") continue;
    const { kind, name } = one.wanted;
    const others = await management.list(kind, `name=${quoted(name)}`, signal);
    if (others.length > 0) foreign.add(`${kind} ${name}`);
  }
  const hosts = await countHosts(management, { facts, found }, signal);
  return { version, routers, wanted: wanted.length, differences, foreign, hosts };
}

/** What there is in the network of a dial by the one runner of `facts`; nothing of others is looked at. Rejects as `inspectNetwork` does. */
export async function findDial(
  management: Management,
  facts: NetworkFacts,
  signal: AbortSignal,
): Promise<Omit<DialFindings, "isBarred" | "certificate">> {
  const { date } = await management.version(signal);
  const wanted = wantedRecords(facts);
  const found = await listOwnRecords(management, facts.trustDomain, signal, wanted);
  const compared = compareRecords(wanted, found);
  const of = (kind: NetworkKind, name: string) =>
    compared.find((one) => one.is !== "left over" && one.wanted.kind === kind && one.wanted.name === name);
  const [runner] = facts.runners;
  const identity = runner && of("identities", runnerIdentityName(facts.trustDomain, runner.runnerId));
  const service = of("services", serviceNames(facts.servicePrefix).controlPlane);
  const [identityId, serviceId] = [idOf(identity), idOf(service)];
  const advice =
    identityId === undefined || serviceId === undefined
      ? undefined
      : await management.advice(identityId, serviceId, signal);
  return {
    clockSkew_ms: date && date.getTime() - Date.now(),
    credential:
      facts.identityEnrollment === "ca"
        ? { kind: "authority", isKnown: of("cas", authorityName(facts.trustDomain))?.is === "same" }
        : { kind: "certificate", isKnown: hasCertificate(identity) },
    identityDifferences: differingFields(identity),
    access: advice && { isDialAllowed: advice.isDialAllowed, routersOnline: countOnline(advice) },
    hosts: await countHosts(management, { facts, found }, signal),
  };
}

function idOf(one: Difference | undefined): string | undefined {
  return one === undefined || one.is === "missing" ? undefined : one.found.id;
}

function differingFields(one: Difference | undefined): readonly string[] | undefined {
  if (one?.is === "same") return [];
  return one?.is === "changed" ? one.fields : undefined;
}

function hasCertificate(one: Difference | undefined): boolean {
  return one !== undefined && one.is !== "missing" && authenticatorOf(one.found.fields) !== undefined;
}

function countOnline({ commonRouters }: Advice): number {
  return commonRouters.filter(({ isOnline }) => isOnline).length;
}

async function countHosts(
  management: Management,
  { facts, found }: { facts: NetworkFacts; found: Awaited<ReturnType<typeof listOwnRecords>> },
  signal: AbortSignal,
): Promise<number> {
  const wanted = serviceNames(facts.servicePrefix).controlPlane;
  const service = found.find(({ kind, name }) => kind === "services" && name === wanted);
  return service === undefined ? 0 : management.countTerminators(service.id, signal);
}
