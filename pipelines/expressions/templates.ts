import { limits, limitText } from "../limits.ts";
import { ExpressionError, parseEmbedded, parseExpression, type Expression } from "./parse-expression.ts";

/** What a text is made of: as it stands, or an expression; `at` is the offset of its `${{`. */
export type TemplatePart = Readonly<
  { kind: "text"; text: string } | { kind: "expression"; expression: Expression; at: number }
>;

/** The parts of a text with `${{ expressions }}`. Throws an ExpressionError. */
export function parseTemplate(source: string): TemplatePart[] {
  const parts: TemplatePart[] = [];
  let from = 0;
  for (;;) {
    const at = source.indexOf("${{", from);
    if (at !== from && from < source.length)
      parts.push({ kind: "text", text: source.slice(from, at < 0 ? source.length : at) });
    if (at < 0) return parts;
    const { expression, end } = parseEmbedded(source, at + 3);
    parts.push({ kind: "expression", expression, at });
    from = end;
  }
}

/** A condition: an expression, with or without `${{ }}` around it. Throws an ExpressionError. */
export function parseCondition(source: string): Expression {
  if (source.length > limits.expression_characters.value)
    throw new ExpressionError(0, `too long: ${limitText("expression_characters")}`);
  const start = source.search(/\S/);
  if (!source.startsWith("${{", start)) return parseExpression(source);
  const { expression, end } = parseEmbedded(source, start + 3);
  if (source.slice(end).trim() !== "")
    throw new ExpressionError(
      end,
      "something follows }}",
      "a condition is one expression, as a whole in ${{ }} or without",
    );
  return expression;
}
