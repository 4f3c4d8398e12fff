import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { root } from "../check/tools.ts";
import { badInputs } from "./bad-inputs.ts";
import { heading, table } from "./markdown.ts";

/** The names of tests, also those that stand in the rows of a table of cases. */
const literal = /"((?:[^"\\\n]|\\.)*\bbad-\d\d\b(?:[^"\\\n]|\\.)*)"|`([^`\n]*\bbad-\d\d\b[^`\n]*)`/g;

/** The numbers of inputs and invariants in a name, which are no part of what it says. */
const marks = /^(?:(?:bad-\d\d|I\d+)(?:, |: ))+/;

type Proof = { number: number; title: string; file: string };

/** The hostile inputs by number, each with the tests that prove what happens. */
export async function badInputsPage(): Promise<string> {
  const proofs = await findProofs(join(root, "test"));
  const rows = badInputs.map(([number, what, missing]) => {
    const own = proofs.filter((proof) => proof.number === number);
    const text = own.map(({ title, file }) => `${title} (\`${file}\`)`).join("<br>");
    const none = missing === undefined ? "no test yet" : `does not concern what is built: ${missing}`;
    return [String(number).padStart(2, "0"), what, text === "" ? none : text];
  });
  const concerned = badInputs.filter(([, , missing]) => missing === undefined);
  const covered = concerned.filter(([number]) => proofs.some((proof) => proof.number === number));
  return `${heading("Bad inputs", "the names of tests and `scripts/reference/bad-inputs.ts`")}
Flaws that were published about software of this kind, and inputs that people complain about, as a checklist. Each that concerns what
is built has a test whose name carries its number. What is expected every time: a clear error that names what is wrong, nothing lost,
nobody let in, nobody else slowed. ${covered.length} of the ${concerned.length} have one.

${table(["", "input", "proved by"], rows)}
`;
}

async function findProofs(directory: string): Promise<Proof[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((one) => one.isFile() && one.name.endsWith(".ts"))
    .map((one) => join(one.parentPath, one.name));
  const proofs: Proof[] = [];
  for (const path of files.toSorted()) {
    const file = path.slice(root.length);
    if (file.startsWith("test/fixtures/")) continue;
    for (const [, quoted, templated] of (await readFile(path, "utf8")).matchAll(literal)) {
      const text = quoted ?? templated ?? "";
      const title = text.replace(marks, "");
      for (const [, digits] of text.matchAll(/\bbad-(\d\d)\b/g)) proofs.push({ number: Number(digits), title, file });
    }
  }
  return proofs;
}
