import type { LabelValues, RequirementWords, RequiresWords } from "./job-words.ts";
import type { LabelOperator, LabelRequirement, Requires, Text } from "./pipeline.ts";
import type { Report } from "./problems.ts";
import type { YamlNode } from "./read-yaml.ts";
import type { TextKind } from "./resolved-texts.ts";
import type { TextWords } from "./words.ts";

/** A requirement however it was written. */
interface Written {
  readonly key: string;
  readonly operator: LabelOperator;
  readonly values: LabelValues;
  readonly node: YamlNode | undefined;
}

type CheckText = (value: TextWords, kind: TextKind) => void;

/** Refuses values that do not go with their operator. */
export function checkRequirements(words: RequiresWords | undefined, checkText: CheckText, report: Report): void {
  for (const { operator, values, node } of [...writtenLabels(words), ...(words?.prefer ?? []).map(fromItem)]) {
    const isPresence = operator === "exists" || operator === "not_exists";
    const isOrder = operator === "greater" || operator === "less";
    for (const value of values) checkText(value, isOrder ? "decimal" : "label");
    if (node === undefined || report.hasProblemAt(node.path)) continue;
    if (isPresence && values.length > 0) report.add(node, `${operator} takes no values`, "leave `values` out");
    else if (isOrder && values.length !== 1) report.add(node, `${operator} takes one number, not ${values.length}`);
    else if (!isPresence && values.length === 0)
      report.add(node, `${operator} takes at least one value`, "add `values`");
  }
}

function writtenLabels(words: RequiresWords | undefined): Written[] {
  if (words?.labels === undefined) return [];
  if (words.labels.kind === "requirements") return words.labels.items.map(fromItem);
  return words.labels.entries.map(({ key, value }) => ({ key, operator: "in", values: value ?? [], node: undefined }));
}

function fromItem({ value, node }: RequirementWords): Written {
  return { key: value.key ?? "", operator: value.operator ?? "in", values: value.values?.value ?? [], node };
}

/** What a job asks of a runner, from words without problems. */
export function toRequires(words: RequiresWords | undefined): Requires<Text> {
  return {
    labels: writtenLabels(words).map(toRequirement),
    capabilities: words?.capabilities ?? [],
    executor: words?.executor ?? null,
    resources: Object.fromEntries((words?.resources ?? []).map(({ key, value = 0 }) => [key, value])),
    prefer: (words?.prefer ?? []).map((item) => ({
      requirement: toRequirement(fromItem(item)),
      weight: item.value.weight ?? 1,
    })),
  };
}

function toRequirement({ key, operator, values }: Written): LabelRequirement<Text> {
  return { key, operator, values: values.map(({ value }) => value) };
}
