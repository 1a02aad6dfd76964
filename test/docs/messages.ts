import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';

const lib = join(resolve(import.meta.dirname, '../..'), 'lib');
/** What shows no message of its own to users, or only to those who test or sit at a terminal. */
const ELSEWHERE = /^(testing|cli)\b|^opentelemetry\.ts$/;

/** Stands for the part of a sentence that the code calls `what`. */
export const WHAT = '[what]';

/** A text of the library with at least three words; `…` stands for what varies, `lab` for a client's name. */
export interface Sentence {
  file: string;
  text: string;
}

/** Every text in the code that may be a message, or a part of one. */
export function sentences(): Sentence[] {
  const found: Sentence[] = [];
  for (const file of readdirSync(lib, { recursive: true, encoding: 'utf8' }).toSorted()) {
    if (!file.endsWith('.ts') || ELSEWHERE.test(file)) continue;
    const visit = (node: ts.Node): void => {
      const text = textOf(node)?.split('\n')[0];
      if (text === undefined) ts.forEachChild(node, visit);
      else if (isSentence(text)) found.push({ file, text: named(text) });
    };
    visit(ts.createSourceFile(file, readFileSync(join(lib, file), 'utf8'), ts.ScriptTarget.Latest, true));
  }
  return found;
}

/** With a client's name, where one stands, as messages have it. */
function named(text: string): string {
  return text
    .replace(/(?<=(client "|Client "|forFeature\('|OAuth(Token|Client)\("))…/g, 'lab')
    .replace(/…{2,}/g, '…');
}

function isSentence(text: string): boolean {
  return (text.match(/[A-Za-z]{2,}/g) ?? []).length > 2 && / .* /.test(text);
}

/** The text of a literal, a template or their sum. */
function textOf(node: ts.Node): string | undefined {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (ts.isTemplateExpression(node))
    return node.head.text + node.templateSpans.map((span) => shown(span) + span.literal.text).join('');
  if (!ts.isBinaryExpression(node) || node.operatorToken.kind !== ts.SyntaxKind.PlusToken) return undefined;
  const parts = [node.left, node.right].map((part) => textOf(part));
  return parts.every((part) => part === undefined) ? undefined : parts.map((part) => part ?? '…').join('');
}

function shown({ expression }: ts.TemplateSpan): string {
  return /(^|\.)what$/.test(expression.getText()) ? WHAT : '…';
}
