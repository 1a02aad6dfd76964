const time = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const number = new Intl.NumberFormat('en');

/** @param {number} at epoch milliseconds; a wall-clock time such as 14:03:59 */
export const formatTime = (at) => time.format(at);

/** @param {number} value such as 12,345 */
export const formatNumber = (value) => number.format(value);

/** @param {number} ms such as 4.2 s, 12 s, 9 min 58 s or 24 h */
export function formatDuration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 60) return `${seconds < 10 ? Math.floor(seconds * 10) / 10 : Math.floor(seconds)}\u00a0s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? inTwo(minutes, 'min', Math.floor(seconds % 60), 's')
    : inTwo(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
}

function inTwo(large, largeUnit, small, smallUnit) {
  return small === 0 ? `${large}\u00a0${largeUnit}` : `${large}\u00a0${largeUnit} ${small}\u00a0${smallUnit}`;
}

/** @param {number} at epoch milliseconds; such as 12 s ago */
export function formatAge(at) {
  const ms = Date.now() - at;
  return ms < 1000 ? 'just now' : `${formatDuration(Math.floor(ms / 1000) * 1000)}\u00a0ago`;
}

/** @param {number} count @param {string} noun in the singular */
export const plural = (count, noun) => `${formatNumber(count)} ${noun}${count === 1 ? '' : 's'}`;

/** Leaves an element alone that shows the text already: a selection in it, or a reader's place, stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
