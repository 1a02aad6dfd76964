/** The middle of `values`; with `share` another place in their order, 0.25 for the first quartile. */
export function median(values, share = 0.5) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  return (sorted[Math.floor(at)] + sorted[Math.ceil(at)]) / 2;
}
