import { checkCondition, checkExpression, type Scope } from "./expressions/check-expression.ts";
import { kindsText, printable } from "./expressions/functions.ts";
import { ExpressionError, type Expression, type ExpressionFault } from "./expressions/parse-expression.ts";
import { parseCondition, parseTemplate } from "./expressions/templates.ts";
import { limits } from "./limits.ts";
import type { Report } from "./problems.ts";
import { offsetInScalar } from "./read-yaml.ts";
import { resolvedFault, type TextKind } from "./resolved-texts.ts";
import type { TextWords } from "./words.ts";

/** Checks the texts of one file. */
export interface TextChecker {
  /** A text, its expressions, and where it has none, what it must be. */
  text(words: TextWords | undefined, kind: TextKind, scope: Scope): void;
  condition(words: TextWords | undefined, scope: Scope): void;
}

/** Reports to `report` at the place in `file`, the text of the whole file, to which a fault's offset leads. */
export function createTextChecker(file: string, report: Report): TextChecker {
  const add = ({ value, node }: TextWords, { at, message, hint }: ExpressionFault): void => {
    const offset = value.includes("${{") || at > 0 ? offsetInScalar(file, node, at) : node.offset;
    report.add({ path: node.path, offset }, message, hint);
  };
  const attempt = (words: TextWords, check: (found: ExpressionFault[]) => void): void => {
    const found: ExpressionFault[] = [];
    try {
      check(found);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      found.push(error);
    }
    for (const fault of found.slice(0, limits.problems.value)) add(words, fault);
  };
  return {
    text(words, kind, scope) {
      if (words === undefined) return;
      if (!words.value.includes("${{")) {
        const fault = resolvedFault(kind, words.value);
        if (fault !== undefined) report.add(words.node, fault);
        return;
      }
      attempt(words, (found) => {
        for (const part of parseTemplate(words.value))
          if (part.kind === "expression") checkPrintable(part.expression, scope, found);
      });
    },
    condition(words, scope) {
      if (words === undefined) return;
      attempt(words, (found) => {
        const expression = parseCondition(words.value);
        checkCondition(expression, checkExpression(expression, scope, found), found);
      });
    },
  };
}

function checkPrintable(expression: Expression, scope: Scope, found: ExpressionFault[]): void {
  const mask = checkExpression(expression, scope, found);
  if ((mask & printable) === 0)
    found.push({ at: expression.at, message: `is ${kindsText(mask)}, not text`, hint: "use join() or to_json()" });
}
