import { formatAge, formatDuration, formatNumber, setText } from './format.js';
import { storyOf } from './story.js';

/** A token's life, what happened to it, and buttons. */
export class Card {
  /** What happened last, in a sentence. */
  story = '';

  /** @param {string} template its id @param {{ key: string, name: string }} whose `key` is part of an id */
  constructor(template, { key, name }) {
    this.name = name;
    this.element = document.getElementById(template).content.firstElementChild.cloneNode(true);
    const title = this.find('h3');
    title.id = `${key}-title`;
    title.textContent = name;
    this.element.setAttribute('aria-labelledby', title.id);
    this.find('.buttons').setAttribute('aria-labelledby', title.id);
    this.find('.buttons').addEventListener('click', ({ target }) => {
      const button = target.closest('button');
      if (button && button.getAttribute('aria-disabled') !== 'true') this.press(button);
    });
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  showState(shown) {
    const { state } = shown;
    this.element.dataset.state = state;
    setText(this.find('.state'), state[0].toUpperCase() + state.slice(1));
    // a token request takes a moment only: what happened before stays readable
    if (state !== 'refreshing') this.story = storyOf(shown);
    setText(this.find('.story'), this.story);
    for (const name of ['served', 'failed', 'tokenRequests']) this.figure(name, formatNumber(shown[name]));
  }

  /** The bar empties from right to left; at its left end is the refresh window. Times in epoch milliseconds. */
  showLife({ acquired, refresh, expiry, which = '' }) {
    const isThere = expiry !== undefined;
    const lifetime = expiry - acquired;
    const left = Math.max(0, expiry - Date.now());
    const meter = this.find('[role="meter"]');
    const text = isThere ? which + lifeText(left, lifetime, refresh) : 'No token';
    setText(this.find('.lifetime'), text);
    meter.setAttribute('aria-valuetext', text);
    meter.setAttribute('aria-valuemax', isThere ? Math.round(lifetime / 1000) : 0);
    meter.setAttribute('aria-valuenow', isThere ? Math.round(left / 1000) : 0);
    this.find('.left').style.inlineSize = isThere ? `${(100 * left) / lifetime}%` : '0';
    const window = this.find('.window');
    if (window) window.style.inlineSize = isThere ? `${(100 * (expiry - refresh)) / lifetime}%` : '0';
  }

  figure(name, text, at) {
    const shown = at === undefined ? text : `${text}, ${formatAge(at)}`;
    setText(this.find(`[data-figure="${name}"]`), shown);
  }

  /** Sends what a button asks for, and says how it went: `outcomeOf` gets the answer. */
  async send(path, method, outcomeOf) {
    const outcome = this.find('.outcome');
    try {
      const response = await fetch(`demo/${path}`, { method });
      const answer = response.status === 204 ? undefined : await response.json();
      outcome.textContent = response.ok ? outcomeOf(answer) : (answer.message ?? answer.detail);
    } catch {
      outcome.textContent = 'The back end did not answer.';
    }
  }
}

function lifeText(left, lifetime, refresh) {
  if (left === 0) return 'Expired';
  const text = `${formatDuration(left)} left of ${formatDuration(lifetime)}`;
  if (refresh === undefined) return text;
  const untilRefresh = refresh - Date.now();
  return `${text}, ${untilRefresh > 0 ? `refresh in ${formatDuration(untilRefresh)}` : 'refresh is due'}`;
}
