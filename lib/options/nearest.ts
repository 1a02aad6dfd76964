/** The candidate that `name` most resembles; one that contains it, if any does. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const containing = candidates.filter((candidate) => candidate.includes(name));
  const likely = name.length > 2 && containing.length > 0 ? containing : candidates;
  return [...likely].sort((a, b) => editDistance(name, a) - editDistance(name, b))[0];
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const char of a) {
    let [left = 0] = row;
    row = row.map((above, index) => {
      const substituted = (row[index - 1] ?? Infinity) + (b[index - 1] === char ? 0 : 1);
      left = Math.min(substituted, above + 1, left + 1);
      return left;
    });
  }
  return row.at(-1) ?? 0;
}
