import { formatTime } from './format.js';

const KEPT = 50;

/** What each event of the library means, as `token_acquired` and so on. */
const MEANINGS = {
  token_acquired: 'New token',
  token_refresh_failed: 'Refresh failed, the token at hand goes on',
  token_request_failed: 'No token to be had',
  token_rejected: 'The API answered 401',
  token_invalidated: 'Token dropped',
  store_unavailable: 'Token store down',
  store_recovered: 'Token store back',
};

/** The latest token events, newest first. */
export class EventList {
  #list;

  /** @param {HTMLOListElement} list */
  constructor(list) {
    this.#list = list;
  }

  clear() {
    this.#list.replaceChildren();
  }

  /** @param {object} event as `/live` tells of it @param {string} partner its name */
  add({ at, type, reason, code, durationMs }, partner) {
    const item = document.createElement('li');
    item.dataset.type = type;
    const took = durationMs === undefined ? '' : `${durationMs} ms`;
    item.append(
      part('time', formatTime(at)),
      part('strong', partner),
      part('span', MEANINGS[type] ?? type),
      part('code', [code, reason].filter(Boolean).join(', ')),
      part('small', took),
    );
    this.#list.prepend(item);
    while (this.#list.childElementCount > KEPT) this.#list.lastElementChild.remove();
  }
}

function part(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
