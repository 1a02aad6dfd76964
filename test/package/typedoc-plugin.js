// Leaves out of docs/api what TypeDoc has no option for.
import { Converter, ReflectionFlag, ReflectionKind } from 'typedoc';
import { MarkdownPageEvent } from 'typedoc-plugin-markdown';

/** @param {import('typedoc').Application} app */
export function load(app) {
  // Before TypeDoc draws the hierarchy, and after it has linked members to those they override.
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => simplify(project), 100);
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => forgetBases(project), -50);
  app.renderer.on(MarkdownPageEvent.END, (page) => {
    page.contents = withContents(page, app.renderer.router)
      // An inline example, which keeps its @ from being read as a tag.
      .replace(/```ts\n`(.+)`\n```/g, '```ts\n$1\n```')
      // The members of a union by their `type`; a table, where there is one, says what the code says.
      .replace(
        /Type Literal\n\n(```ts\n\{\n *type: (.+);\n[^`]*```)(\n\n\|)?/g,
        (_, code, type, table) => `\`${type}\`\n\n${table ? '|' : code}`,
      );
  });
}

function simplify(project) {
  const all = () => Object.values(project.reflections);
  for (const reflection of all().filter(isRepeated)) project.removeReflection(reflection);
  for (const reflection of all()) {
    if (reflection.getSignature && !reflection.setSignature) toProperty(reflection);
    for (const key of ['extendedTypes', 'implementedTypes'])
      reflection[key] &&= reflection[key].filter(isOwn);
    // Of the class that Nest's ConfigurableModuleBuilder makes.
    if (reflection.kindOf(ReflectionKind.Class)) delete reflection.indexSignatures;
    reflection.comment?.getTags('@throws').forEach((tag) => nameError(tag, project));
  }
}

function forgetBases(project) {
  for (const reflection of Object.values(project.reflections)) {
    delete reflection.overwrites;
    delete reflection.implementationOf;
  }
}

/** What a member inherits, or overrides without a comment of its own, is described with its base. */
function isRepeated({ inheritedFrom, overwrites, implementationOf, comment, signatures = [] }) {
  const comments = [comment, ...signatures.map((signature) => signature.comment)];
  const described = comments.some((found) => found && !found.inheritedFromParentDeclaration);
  return inheritedFrom || ((overwrites || implementationOf) && !described);
}

/** Not Error, nor an interface of Nest. */
function isOwn({ reflection }) {
  return reflection !== undefined;
}

/** A getter reads like a property. */
function toProperty(accessor) {
  const { type, comment } = accessor.getSignature;
  accessor.project.removeReflection(accessor.getSignature);
  Object.assign(accessor, { kind: ReflectionKind.Property, type, comment });
  accessor.setFlag(ReflectionFlag.Readonly);
}

/** The class in the braces of a `@throws`, which the Markdown theme drops. */
function nameError({ typeAnnotation, content }, project) {
  const name = typeAnnotation?.slice(1, -1);
  const target = project.getReflectionsByKind(ReflectionKind.Class).find((error) => error.name === name);
  if (target)
    content.unshift({ kind: 'inline-tag', tag: '@link', text: name, target }, { kind: 'text', text: ': ' });
}

/** Links to the exports at the top of a long page. */
function withContents({ model, contents }, router) {
  if (model.kind !== ReflectionKind.Module || model.children.length < 8) return contents;
  const lines = model.groups.map(({ title, children }) => {
    const links = children.map((child) => `[${child.name}](#${router.getAnchor(child)})`);
    return `**${title}:** ${links.join(', ')}`;
  });
  return contents.replace(/^## /m, `${lines.join('\n\n')}\n\n## `);
}
