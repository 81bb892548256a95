// The API reference: what each entry of package.json's exports gives, with the signatures and docstrings of the source. It is
// also the list of what semantic versioning covers: a name that stands here is not changed without a new major version.
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import ts from "typescript";

/** Entry of the package → its source. Recipes share one type. */
const ENTRIES = {
  cohort: "core/index.ts",
  "cohort/node": "hosts/node.ts",
  "cohort/browser": "hosts/browser.ts",
  "cohort/deno": "hosts/deno.ts",
  "cohort/rewards": "hosts/rewards/index.ts",
  "cohort/log": "hosts/log/index.ts",
};

const ABOUT = {
  cohort: "The engine without a host: no file, no clock, no GPU of its own. Everything here runs in every runtime.",
  "cohort/node": "Node: files, worker threads, WebGPU through the package `webgpu` where it is installed.",
  "cohort/browser": "Pages: a worker, OPFS or IndexedDB, WebGPU where the browser has it.",
  "cohort/deno": "Deno: the source as it is.",
  "cohort/rewards": "Ready-made reward functions; see [your own reward](your-own-reward.md#ready-made-rewards).",
  "cohort/log": "Where the curves of a run may go beside its own metrics.jsonl.",
};

const text = (node) => node.getText().replace(/\s*\n\s*/g, " ");
const docOf = (node) =>
  ts
    .getJSDocCommentsAndTags(node)
    .filter(ts.isJSDoc)
    .map((doc) => sentencesOf(doc))
    .join("\n\n");

function sentencesOf(doc) {
  const body = ts.getTextOfJSDocComment(doc.comment) ?? "";
  const tags = (doc.tags ?? []).map((tag) => {
    const said = (ts.getTextOfJSDocComment(tag.comment) ?? "").replace(/\s*\n\s*/g, " ");
    const name = tag.tagName.text;
    // TypeScript reads the word behind @throws as a type.
    const type = tag.typeExpression ? `${tag.typeExpression.getText()} ` : "";
    if (ts.isJSDocParameterTag(tag)) return `- \`${tag.name.getText()}\`: ${said.replace(/^-\s*/, "")}`;
    return name === "file" ? "" : `- ${name}: ${type}${said}`;
  });
  return [body.replace(/\s*\n\s*/g, " "), tags.filter(Boolean).join("\n")].filter(Boolean).join("\n\n");
}

const hidden = (node) =>
  node.modifiers?.some((m) => m.kind === ts.SyntaxKind.PrivateKeyword || m.kind === ts.SyntaxKind.ProtectedKeyword) ||
  (node.name && ts.isPrivateIdentifier(node.name));

/** A declaration's head without its body: what one reads before calling it. */
function signature(node) {
  const end = node.body ? node.body.getStart() : node.getEnd();
  return node
    .getSourceFile()
    .text.slice(node.getStart(), end)
    .replace(/^export (default )?/, "")
    .replace(/\/\*\*[\s\S]*?\*\//g, "")
    .replace(/\s*\n\s*/g, " ")
    .replace(/,\s*([)}])/g, " $1")
    .replace(/[({] (?=\S)/g, (open) => (open[0] === "(" ? "(" : open))
    .replace(/ \)/g, ")")
    .replace(/\s*(=>|[={])?\s*$/, "")
    .trim();
}

/** Members with what is said of each, as a list. */
function members(node) {
  const lines = [];
  for (const member of node.members) {
    if (hidden(member) || ts.isSemicolonClassElement(member)) continue;
    if (ts.isConstructorDeclaration(member) && member.modifiers?.length) continue;
    if (ts.isPropertyDeclaration(member) && !member.type && !member.initializer) continue;
    let head = signature(member);
    if (ts.isPropertyDeclaration(member) && member.initializer)
      head = head.replace(/ = [\s\S]*$/, member.type ? "" : ` = ${text(member.initializer)}`);
    // The sentence beside the name; what is said of parameters and errors below it.
    const [first = "", ...more] = docOf(member).split("\n").filter(Boolean);
    const bare = first.startsWith("- ");
    const tick = head.includes("`") ? "``" : "`";
    lines.push(`- ${tick}${head.replace(/;$/, "")}${tick}${first && !bare ? `: ${first}` : ""}`);
    for (const line of bare ? [first, ...more] : more) lines.push(`  ${line}`);
  }
  return lines;
}

function describe(name, symbol) {
  const out = [];
  for (const node of symbol.declarations ?? []) {
    const said = docOf(ts.isVariableDeclaration(node) ? node.parent.parent : node);
    let head;
    let list = [];
    if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) {
      const kind = ts.isClassDeclaration(node) ? "class" : "interface";
      const parameters = node.typeParameters ? `<${node.typeParameters.map(text).join(", ")}>` : "";
      const heritage = (node.heritageClauses ?? []).map((clause) => ` ${text(clause)}`).join("");
      head = `${kind} ${name}${parameters}${heritage}`;
      list = members(node);
    } else if (ts.isVariableDeclaration(node)) {
      const type = node.type ? text(node.type) : null;
      const arrow = node.initializer && ts.isArrowFunction(node.initializer) ? signature(node.initializer) : null;
      head = `const ${name}${type ? `: ${type}` : arrow ? ` = ${arrow}` : ""}`;
    } else if (ts.isTypeAliasDeclaration(node) && ts.isTypeLiteralNode(node.type)) {
      head = `type ${name}`;
      list = members(node.type);
    } else head = signature(node);
    // Overloads: the implementation's own signature is nobody's to call.
    if (ts.isFunctionDeclaration(node) && node.body && symbol.declarations.length > 1) continue;
    out.push("```text", head.replace(/;$/, ""), "```", "");
    if (said) out.push(said, "");
    if (list.length > 0) out.push(...list, "");
  }
  return out;
}

/** docs/api.md */
export function apiPage(root) {
  const config = ts.readConfigFile(`${root}/tsconfig.json`, (path) => readFileSync(path, "utf8")).config;
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: Object.values(ENTRIES) }, ts.sys, root);
  const program = ts.createProgram(
    Object.values(ENTRIES).map((file) => `${root}/${file}`),
    { ...options, noEmit: true },
  );
  const checker = program.getTypeChecker();
  const out = [
    "# API",
    "",
    "Every public name, entry by entry. This page is what semantic versioning covers: nothing on it changes its meaning without",
    "a new major version; what is not on it may change at any time. Written by `npm run docs` from the source.",
    "",
    ...Object.keys(ENTRIES).map((entry) => `- [\`${entry}\`](#${entry.replace("/", "")}): ${ABOUT[entry]}`),
    "- `cohort/recipes/ID`: one recipe as its default export, an object of type `Recipe`; see [recipes](recipes/README.md).",
    "",
  ];
  const described = new Map();
  for (const [entry, file] of Object.entries(ENTRIES)) {
    out.push(`## ${entry}`, "", ABOUT[entry], "");
    const source = program.getSourceFile(`${root}/${file}`);
    const symbols = checker.getExportsOfModule(checker.getSymbolAtLocation(source));
    for (const exported of [...symbols].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      out.push(`### ${exported.name}`, "");
      const before = described.get(symbol);
      if (before) out.push(`As in \`${before}\`.`, "");
      else {
        described.set(symbol, entry);
        const [declaration] = symbol.declarations ?? [];
        out.push(...describe(exported.name, symbol));
        if (declaration) out.push(`In \`${relative(root, declaration.getSourceFile().fileName)}\`.`, "");
      }
    }
  }
  return `${out.join("\n").trimEnd()}\n`;
}
