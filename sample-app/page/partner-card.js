import { formatAge, formatDuration, formatNumber, formatTime, plural, setText } from './format.js';

const template = document.getElementById('partner-template');

/** One partner: what it shows, and its buttons. */
export class PartnerCard {
  /** @param {object} partner as `/live` tells of it */
  constructor(partner) {
    this.client = partner.client;
    this.name = partner.name;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.dataset.client = partner.client;
    const title = this.find('h3');
    title.id = `${partner.client}-title`;
    title.textContent = partner.name;
    this.element.setAttribute('aria-labelledby', title.id);
    this.find('.whose').textContent = partner.sandbox ? 'Sandbox on this machine' : 'The real partner';
    this.find('.buttons').setAttribute('aria-labelledby', title.id);
    this.find('.buttons').addEventListener('click', ({ target }) => this.#press(target.closest('button')));
    if (!partner.sandbox) {
      this.find('.buttons').remove();
      this.find('.outcome').textContent = `Left alone by this page. ${partner.path} calls it.`;
    }
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  /** @param {object} partner as `/live` tells of it */
  show(partner) {
    this.#showState(partner);
    this.#showLife(partner);
    this.#figure('served', formatNumber(partner.served));
    this.#figure('failed', formatNumber(partner.failed));
    this.#figure('tokenRequests', formatNumber(partner.tokenRequests));
    const { lastRefresh, lastFailure } = partner;
    this.#figure('lastRefresh', lastRefresh ? lastRefresh.reason : 'none', lastRefresh?.at);
    this.#figure('lastFailure', lastFailure ? lastFailure.code : 'none', lastFailure?.at);
    const short = partner.sandbox?.tokenLifetimeMs <= 5000;
    this.find('[data-action="short-tokens"]')?.setAttribute('aria-pressed', String(short));
  }

  #showState({ state, sandbox }) {
    const { element } = this;
    element.dataset.state = state;
    setText(this.find('.state'), state[0].toUpperCase() + state.slice(1));
    if (!sandbox) return;
    const down = sandbox.downForMs > 0;
    setText(
      this.find('.whose'),
      down
        ? `Authorization server down, ${Math.ceil(sandbox.downForMs / 1000)}\u00a0s left`
        : 'Sandbox on this machine',
    );
    this.find('[data-action="outage"]').setAttribute('aria-disabled', String(down));
  }

  /** The bar empties from right to left; at its left end is the refresh window. */
  #showLife({ acquiredAt, refreshAt, expiresAt }) {
    const [acquired, refresh, expiry] = [acquiredAt, refreshAt, expiresAt].map(Date.parse);
    const lifetime = expiry - acquired;
    const left = Math.max(0, expiry - Date.now());
    const meter = this.find('[role="meter"]');
    const text = expiresAt ? this.#lifeText(left, lifetime, refresh - Date.now()) : 'No token';
    setText(this.find('.lifetime'), text);
    meter.setAttribute('aria-valuetext', text);
    meter.setAttribute('aria-valuemax', expiresAt ? Math.round(lifetime / 1000) : 0);
    meter.setAttribute('aria-valuenow', expiresAt ? Math.round(left / 1000) : 0);
    this.find('.left').style.inlineSize = expiresAt ? `${(100 * left) / lifetime}%` : '0';
    this.find('.window').style.inlineSize = expiresAt ? `${(100 * (expiry - refresh)) / lifetime}%` : '0';
  }

  #lifeText(left, lifetime, untilRefresh) {
    const due = untilRefresh > 0 ? `refresh in ${formatDuration(untilRefresh)}` : 'refresh is due';
    return left === 0 ? 'Expired' : `${formatDuration(left)} left of ${formatDuration(lifetime)}, ${due}`;
  }

  #figure(name, text, at) {
    const shown = at === undefined ? text : `${text}, ${formatAge(at)}`;
    setText(this.find(`[data-figure="${name}"]`), shown);
  }

  async #press(button) {
    if (!button || button.getAttribute('aria-disabled') === 'true') return;
    const { action } = button.dataset;
    const wasPressed = button.getAttribute('aria-pressed') === 'true';
    const method = action !== 'short-tokens' ? 'POST' : wasPressed ? 'DELETE' : 'PUT';
    const outcome = this.find('.outcome');
    try {
      const response = await fetch(`demo/${this.client}/${action}`, { method });
      const answer = response.status === 204 ? undefined : await response.json();
      outcome.textContent = response.ok
        ? outcomeOf(action, answer, wasPressed)
        : (answer.message ?? answer.detail);
    } catch {
      outcome.textContent = 'The back end did not answer.';
    }
  }
}

function outcomeOf(action, answer, wasPressed) {
  const now = formatTime(Date.now());
  switch (action) {
    case 'calls':
      return (
        `${now}: ${answer.served + answer.failed} calls in ${answer.durationMs}\u00a0ms: ${answer.served} served, ` +
        `${answer.failed} failed, ${plural(answer.tokenRequests, 'token request')}.`
      );
    case 'revocation':
      return `${now}: the partner forgot its token.`;
    case 'outage':
      return `${now}: its authorization server went down for 20\u00a0s. The token at hand lived 25\u00a0s then.`;
    default:
      return `${now}: its tokens were made to live ${wasPressed ? 'as long as usual' : '5\u00a0s'}.`;
  }
}
