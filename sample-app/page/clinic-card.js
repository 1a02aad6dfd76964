import { Card } from './card.js';
import { formatTime, setText } from './format.js';

/** A clinic, which is a tenant of the imaging archive: it can be removed and added. */
export class ClinicCard extends Card {
  #clinic;
  #isRemoved = false;

  /** @param {object} clinic as `/live` tells of it */
  constructor({ clinic, name }) {
    super('clinic-template', { key: `clinic-${clinic}`, name });
    this.#clinic = clinic;
    this.element.dataset.clinic = clinic;
  }

  /** @param {object} clinic as `/live` tells of it */
  show(clinic) {
    const { token } = clinic;
    this.#isRemoved = clinic.state === 'removed';
    this.showState({ ...clinic, reason: token?.reason });
    const which = `Token ${token?.number}: `;
    this.showLife({ acquired: token?.acquiredAt, expiry: token?.expiresAt, which });
    setText(this.find('[data-action="account"]'), this.#isRemoved ? 'Add clinic' : 'Remove clinic');
    this.find('[data-action="revocation"]').setAttribute('aria-disabled', String(this.#isRemoved));
  }

  press(button) {
    const now = formatTime(Date.now());
    const path = `clinics/${this.#clinic}`;
    if (button.dataset.action === 'revocation')
      return this.send(`${path}/revocation`, 'POST', () => `${now}: the archive forgot its token.`);
    return this.#isRemoved
      ? this.send(path, 'PUT', () => `${now}: added, with new credentials.`)
      : this.send(path, 'DELETE', () => `${now}: removed; the archive closed its account.`);
  }
}
