import { Card } from './card.js';
import { formatTime, plural, setText } from './format.js';

/** One partner: what it shows, and its buttons. */
export class PartnerCard extends Card {
  #resting;

  /** @param {object} partner as `/live` tells of it */
  constructor(partner) {
    super('partner-template', { key: partner.client, name: partner.name });
    this.client = partner.client;
    this.element.dataset.client = partner.client;
    this.#resting = `${partner.sandbox ? 'Sandbox on this machine' : 'The real partner'}, called with ${partner.by}`;
    setText(this.find('.whose'), this.#resting);
    if (!partner.sandbox) {
      this.find('.buttons').remove();
      this.find('.outcome').textContent = `Left alone by this page. ${partner.path} calls it.`;
    }
  }

  /** @param {object} partner as `/live` tells of it */
  show(partner) {
    const { sandbox, acquiredAt, refreshAt, expiresAt, lastRefresh, lastFailure } = partner;
    const { downForMs = 0, refusedCalls } = sandbox ?? {};
    this.showState({ ...partner, reason: lastRefresh?.reason, refusedCalls, isOut: downForMs > 0 });
    const at = (text) => (text ? Date.parse(text) : undefined);
    this.showLife({ acquired: at(acquiredAt), refresh: at(refreshAt), expiry: at(expiresAt) });
    this.figure('lastRefresh', lastRefresh ? lastRefresh.reason : 'none', lastRefresh?.at);
    this.figure('lastFailure', lastFailure ? lastFailure.code : 'none', lastFailure?.at);
    if (!sandbox) return;
    const down = downForMs > 0;
    const left = `Authorization server down, ${Math.ceil(downForMs / 1000)}\u00a0s left`;
    setText(this.find('.whose'), down ? left : this.#resting);
    this.find('[data-action="outage"]').setAttribute('aria-disabled', String(down));
    const short = sandbox.tokenLifetimeMs <= 5000;
    this.find('[data-action="short-tokens"]').setAttribute('aria-pressed', String(short));
  }

  press(button) {
    const { action } = button.dataset;
    const wasPressed = button.getAttribute('aria-pressed') === 'true';
    const method = action !== 'short-tokens' ? 'POST' : wasPressed ? 'DELETE' : 'PUT';
    return this.send(`${this.client}/${action}`, method, (answer) => outcomeOf(action, answer, wasPressed));
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
