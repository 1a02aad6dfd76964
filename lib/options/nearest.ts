/** The candidate that `name` most resembles; one that contains it, if any does. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const containing = candidates.filter((candidate) => candidate.includes(name));
  const likely = name.length > 2 && containing.length > 0 ? containing : candidates;
  return [...likely].sort((a, b) => editDistance(name, a) - editDistance(name, b))[0];
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  const at = (index: number) => row[index] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = at(j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, at(j) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return at(b.length);
}
