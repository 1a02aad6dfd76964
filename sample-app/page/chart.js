import uPlot from './uplot/uPlot.esm.js';
import { formatNumber, formatTime } from './format.js';

const SECONDS = 120;
const HEIGHT = 125;
const WHOLE_NUMBERS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const dark = matchMedia('(prefers-color-scheme: dark)');

/** How often something happened in each of the last seconds, as bars. */
export class SecondsChart {
  #element;
  #what;
  #colour;
  #perSecond = new Map();
  #total;
  #plot;
  #drawnAt;

  /**
   * @param {HTMLElement} element
   * @param {string} what such as "Calls"
   * @param {string} colour a custom property
   */
  constructor(element, what, colour) {
    this.#element = element;
    this.#what = what;
    this.#colour = colour;
    this.#create();
    new ResizeObserver(() => this.#plot.setSize(this.#size())).observe(element);
    dark.addEventListener('change', () => this.#create());
  }

  /** @param {number} total so far */
  add(total) {
    const second = Math.floor(Date.now() / 1000);
    // a total that fell is that of a server that was started again
    const more = Math.max(0, total - (this.#total ?? total));
    this.#total = total;
    this.#perSecond.set(second, (this.#perSecond.get(second) ?? 0) + more);
    this.#perSecond.delete(second - SECONDS - 1);
    if (more > 0 || second !== this.#drawnAt) this.#draw(second);
  }

  /** The next total is a new beginning: what happened meanwhile has no second. */
  interrupt() {
    this.#total = undefined;
  }

  #draw(now) {
    this.#drawnAt = now;
    const seconds = Array.from({ length: SECONDS }, (_, index) => now - SECONDS + 1 + index);
    const values = seconds.map((second) => this.#perSecond.get(second) ?? null);
    this.#plot.setData([seconds, values]);
    const last = formatNumber(values.at(-2) ?? 0);
    const most = formatNumber(Math.max(...values));
    this.#element.setAttribute(
      'aria-label',
      `${this.#what} in each second: ${last} in the last one, ${most} at most in the last two minutes`,
    );
  }

  #create() {
    const data = this.#plot?.data ?? [[], []];
    this.#plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour('--muted'),
      font: `12px ${style.fontFamily}`,
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
    };
    this.#plot = new uPlot(
      {
        ...this.#size(),
        legend: { show: false },
        cursor: { show: false },
        padding: [8, 28, 0, 0],
        scales: {
          x: { range: (_, first, last) => [first - 0.5, last + 0.5] },
          y: { range: (_, _min, max) => [0, Math.max(4, max * 1.1)] },
        },
        axes: [
          {
            ...axis,
            incrs: [30, 60, 120],
            space: 70,
            size: 28,
            values: (_, seconds) => seconds.map((at) => formatTime(at * 1000)),
          },
          { ...axis, incrs: WHOLE_NUMBERS, space: 24, size: 44 },
        ],
        series: [
          {},
          {
            fill: colour(this.#colour),
            width: 0,
            points: { show: false },
            paths: uPlot.paths.bars({ size: [0.8, 8] }),
          },
        ],
      },
      data,
      this.#element,
    );
  }

  #size() {
    return { width: this.#element.clientWidth, height: HEIGHT };
  }
}
