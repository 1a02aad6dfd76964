import { types } from 'node:util';

/** A text that a walk came by, and the way to it. */
export type Found = [path: string, text: string];

/** What is on the way: accessors run, and getters that throw show nothing. */
function read(owner: object, name: PropertyKey): unknown {
  try {
    return Reflect.get(owner, name);
  } catch {
    return undefined;
  }
}

/** Every text in reach of `value`, by the members that `membersOf` lists. */
function walk(
  value: unknown,
  membersOf: (owner: object) => Iterable<[string, unknown]>,
  maxDepth: number,
): Found[] {
  const found: Found[] = [];
  const seen = new Set<unknown>();
  let next: [string, unknown][] = [['', value]];
  // By breadth, so that what is nearest is seen first, whatever the way back to it.
  for (let depth = 0; depth <= maxDepth && next.length > 0; depth++) {
    const level = next;
    next = [];
    for (const [path, member] of level) {
      if (typeof member === 'string') found.push([path, member]);
      if (member instanceof Uint8Array) found.push([path, Buffer.from(member).toString('latin1')]);
      if ((typeof member !== 'object' && typeof member !== 'function') || member === null || seen.has(member))
        continue;
      seen.add(member);
      if (member instanceof Uint8Array) continue;
      // A constructor belongs to the language: RegExp keeps the last text that anybody matched.
      for (const [name, inner] of membersOf(member))
        if (name !== 'constructor') next.push([`${path}.${name}`, inner]);
    }
  }
  return found;
}

/** As `Reflect.ownKeys` has it: members that cannot be listed and symbols as well, and what maps and sets hold. */
export function everyOwnKey(value: unknown, maxDepth = 14): Found[] {
  return walk(
    value,
    function* (owner) {
      for (const name of Reflect.ownKeys(owner)) yield [String(name), read(owner, name)];
      if (types.isMap(owner))
        for (const [key, member] of owner)
          yield* [
            ['<key>', key],
            [String(key), member],
          ] as [string, unknown][];
      if (types.isSet(owner)) for (const member of owner) yield ['<member>', member];
    },
    maxDepth,
  );
}

/** As a copy or a comparison of objects has it: the own members that can be listed. */
export function listedMembers(value: unknown): Found[] {
  return walk(value, (owner) => Object.keys(owner).map((name) => [name, read(owner, name)]), 14);
}

/** As libraries that turn errors into plain objects do: the usual members of an error by name, then what can be listed. */
export function asSerializer(value: unknown): Found[] {
  const usual = ['name', 'message', 'stack', 'cause', 'code', 'errors'];
  return walk(
    value,
    function* (owner) {
      const toJSON = read(owner, 'toJSON');
      if (typeof toJSON === 'function') yield ['toJSON()', (toJSON as () => unknown).call(owner)];
      else if (typeof owner === 'object') for (const name in owner) yield [name, read(owner, name)];
      if (owner instanceof Error) for (const name of usual) yield [name, read(owner, name)];
    },
    10,
  );
}

/** As error trackers do: the chain of causes, and of each error every own property, listed or not, and its prototype's. */
export function asTracker(value: unknown): Found[] {
  return walk(
    value,
    function* (owner) {
      for (
        let level: object | null = owner;
        level && level !== Object.prototype;
        level = Object.getPrototypeOf(level) as object | null
      )
        for (const name of Object.getOwnPropertyNames(level)) yield [name, read(owner, name)];
    },
    6,
  );
}
