import { relative } from 'node:path';
import ts from 'typescript';

/**
 * Reads what an entry's declarations offer.
 *
 * @param {string} packageRoot where dist/ is
 * @param {Record<string, string>} entries path of the declaration file by name of the entry
 * @returns {{ entries: Map<string, ts.Symbol[]>, checker: ts.TypeChecker, program: ts.Program, packageRoot: string }}
 */
export function readPublicApi(packageRoot, entries) {
  const program = ts.createProgram(Object.values(entries), {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    skipLibCheck: true,
    types: ['node'],
  });
  const checker = program.getTypeChecker();
  const symbols = new Map();
  for (const [entry, path] of Object.entries(entries)) {
    const file = program.getSourceFile(path);
    const module = file && checker.getSymbolAtLocation(file);
    if (!module) throw new Error(`${path} is no module.`);
    const exported = checker.getExportsOfModule(module);
    symbols.set(
      entry,
      exported.toSorted((a, b) => compare(a.name, b.name)),
    );
  }
  return { entries: symbols, checker, program, packageRoot };
}

/** Names of an entry's exports that have a value at run time. */
export function valueExports(api, entry) {
  return api.entries
    .get(entry)
    .filter((symbol) => resolveAlias(api, symbol).flags & ts.SymbolFlags.Value)
    .map(({ name }) => name);
}

/** Names of an entry's exports without a doc comment. */
export function undocumentedExports(api, entry) {
  return api.entries
    .get(entry)
    .filter((symbol) => resolveAlias(api, symbol).getDocumentationComment(api.checker).length === 0)
    .map(({ name }) => name);
}

/** A text of all exported names with their signatures, and of what these refer to without exporting it. */
export function describePublicApi(api) {
  const printer = ts.createPrinter({ removeComments: true });
  const print = (declaration) => {
    const text = printer.printNode(ts.EmitHint.Unspecified, declaration, declaration.getSourceFile());
    return ts.isVariableDeclaration(declaration) ? `export declare const ${text};` : text;
  };
  const sections = [];
  const described = new Set();
  for (const [entry, symbols] of api.entries) {
    sections.push(`## ${entry}`);
    const exported = new Map(symbols.map((symbol) => [resolveAlias(api, symbol), symbol.name]));
    const elsewhere = new Set([...api.entries.values()].flat().map((symbol) => resolveAlias(api, symbol)));
    const internal = new Set();
    for (const [symbol, name] of exported) {
      const known = described.has(symbol);
      described.add(symbol);
      const text = known ? [`// ${name}: see above`] : declarationsOf(symbol).map(print);
      sections.push(text.join('\n'));
      if (!known) collectReferences(api, symbol, elsewhere, internal);
    }
    const unexported = [...internal].filter((symbol) => !described.has(symbol));
    for (const symbol of unexported.toSorted((a, b) => compare(a.name, b.name))) {
      described.add(symbol);
      sections.push(['// not exported', ...declarationsOf(symbol).map(print)].join('\n'));
    }
  }
  const augmentations = api.program
    .getSourceFiles()
    .filter((file) => isOwn(api, file))
    .flatMap((file) => file.statements.filter(ts.isModuleDeclaration))
    .map(print);
  if (augmentations.length > 0)
    sections.push('## added to other packages', ...augmentations.toSorted(compare));
  return `${sections.join('\n\n')}\n`;
}

/**
 * Adds the package's own types that a symbol's declarations name, and what those name in turn. A constructor's parameters
 * are no part of it: the module makes these objects.
 */
function collectReferences(api, symbol, exported, found) {
  const visit = (node) => {
    if (ts.isConstructorDeclaration(node)) return;
    if (ts.isIdentifier(node)) {
      const named = api.checker.getSymbolAtLocation(node);
      const target = named && resolveAlias(api, named);
      if (target && isOwnDeclaration(api, target) && !exported.has(target) && !found.has(target)) {
        found.add(target);
        collectReferences(api, target, exported, found);
      }
    }
    ts.forEachChild(node, visit);
  };
  declarationsOf(symbol).forEach(visit);
}

/** Whether it is declared at the top of one of the package's files: no member, no parameter. */
function isOwnDeclaration(api, symbol) {
  return declarationsOf(symbol).some((node) => {
    const statement = ts.isVariableDeclaration(node) ? node.parent.parent : node;
    return ts.isSourceFile(statement.parent) && isOwn(api, statement.parent);
  });
}

function isOwn({ packageRoot }, file) {
  return !relative(packageRoot, file.fileName).startsWith('..');
}

function declarationsOf(symbol) {
  return symbol.declarations ?? [];
}

function resolveAlias({ checker }, symbol) {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/** By code unit, the same on every machine. */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
