// Small SVG plots that read on a light and on a dark background alike.

const INK = '#7d8590';
const OWN = '#1f883d';
const PEER = '#8c959f';
const FONT = 'font-family="ui-sans-serif, system-ui, sans-serif"';

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

function svg(width, height, title, content) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" ${FONT} font-size="13" fill="${INK}">`,
    `<title>${escape(title)}</title>`,
    `<text x="8" y="22" font-size="15" font-weight="600">${escape(title)}</text>`,
    ...content,
    '</svg>',
    '',
  ].join('\n');
}

/**
 * Horizontal bars. `bars`: `{ label, value, text, own }`; with `limit: { label, value }` a dashed line. A bar longer
 * than `cut` is cut, and says so.
 */
export function barChart(title, bars, { limit, cut = Number.POSITIVE_INFINITY } = {}) {
  const left = 310;
  const width = 820;
  const largest = Math.max(...bars.map(({ value }) => Math.min(value, cut)), limit?.value ?? 0);
  const scale = (width - left - 200) / largest;
  const bottom = 44 + bars.length * 26;
  const content = bars.flatMap(({ label, value, text, own }, i) => {
    const y = 40 + i * 26;
    const length = Math.max(Math.min(value, cut) * scale, 1);
    const weight = own ? ' font-weight="600"' : '';
    return [
      `<text x="${left - 10}" y="${y + 14}" text-anchor="end"${weight}>${escape(label)}</text>`,
      `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="18" rx="2" fill="${own ? OWN : PEER}"/>`,
      `<text x="${(left + length + 8).toFixed(1)}" y="${y + 14}"${weight}>${escape(text)}${value > cut ? ' (cut)' : ''}</text>`,
    ];
  });
  if (limit) {
    const x = (left + limit.value * scale).toFixed(1);
    content.push(
      `<line x1="${x}" y1="36" x2="${x}" y2="${bottom}" stroke="${INK}" stroke-dasharray="4 3"/>`,
      `<text x="${x}" y="${bottom + 16}" text-anchor="middle">${escape(limit.label)}</text>`,
    );
  }
  return svg(width, bottom + 26, title, content);
}

/** Lines over a logarithmic x axis. `lines`: `{ label, points: [x, y][], own }`; small y from 0. */
export function lineChart(title, xLabel, yLabel, lines) {
  const [width, height, left, right, top, bottom] = [820, 320, 70, 250, 50, 270];
  const all = lines.flatMap(({ points }) => points);
  const xs = [...new Set(all.map(([x]) => x))].toSorted((a, b) => a - b);
  const [low, high] = [Math.log10(xs[0]), Math.log10(xs.at(-1))];
  const largest = Math.max(...all.map(([, y]) => y)) * 1.1;
  const atX = (x) => left + ((Math.log10(x) - low) / (high - low || 1)) * (width - left - right);
  const atY = (y) => bottom - (y / largest) * (bottom - top);
  const content = [
    `<line x1="${left}" y1="${bottom}" x2="${width - right}" y2="${bottom}" stroke="${INK}"/>`,
    `<line x1="${left}" y1="${top}" x2="${left}" y2="${bottom}" stroke="${INK}"/>`,
    `<text x="${left}" y="${top - 8}">${escape(yLabel)}</text>`,
    `<text x="${width - right}" y="${bottom + 38}" text-anchor="end">${escape(xLabel)}</text>`,
    ...xs.map(
      (x) =>
        `<text x="${atX(x).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${x.toLocaleString('en-US')}</text>`,
    ),
    ...Array.from({ length: Math.floor(largest) + 1 }, (_, y) => {
      return `<text x="${left - 8}" y="${(atY(y) + 4).toFixed(1)}" text-anchor="end">${y}</text>`;
    }),
  ];
  for (const [i, { label, points, own }] of lines.entries()) {
    const path = points.map(([x, y]) => `${atX(x).toFixed(1)},${atY(y).toFixed(1)}`).join(' ');
    const dash = i > 1 ? ' stroke-dasharray="6 3"' : '';
    const [x, y] = points.at(-1);
    content.push(
      `<polyline points="${path}" fill="none" stroke="${own ? OWN : PEER}" stroke-width="${own ? 3 : 2}"${dash}/>`,
      `<text x="${(atX(x) + 8).toFixed(1)}" y="${(atY(y) + 4).toFixed(1)}">${escape(label)}</text>`,
    );
  }
  return svg(width, height, title, content);
}
