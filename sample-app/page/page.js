import { SecondsChart } from './chart.js';
import { EventList } from './event-list.js';
import { PartnerCard } from './partner-card.js';

/** States that are worth interrupting a listener for. */
const ANNOUNCED = ['fresh', 'degraded', 'down'];

const cards = new Map();
const announced = new Map();
const byId = (id) => document.getElementById(id);
const events = new EventList(byId('events'));
const calls = new SecondsChart(byId('calls-chart'), 'Calls', '--calls');
const requests = new SecondsChart(byId('requests-chart'), 'Token requests', '--requests');

let source;

function connect() {
  source = new EventSource('live');
  source.addEventListener('open', () => {
    // the latest events are told again
    events.clear();
    say('Live');
  });
  source.addEventListener('error', () => {
    say('Connection lost, trying again');
    interrupt();
  });
  source.addEventListener('partners', ({ data }) => showPartners(JSON.parse(data)));
  source.addEventListener('token', ({ data }) => showEvent(JSON.parse(data)));
}

function showPartners(partners) {
  for (const partner of partners) {
    if (!cards.has(partner.client)) {
      cards.set(partner.client, new PartnerCard(partner));
      byId('partners').append(cards.get(partner.client).element);
    }
    cards.get(partner.client).show(partner);
    announce(partner);
  }
  const sum = (count) => partners.map(count).reduce((total, each) => total + each, 0);
  calls.add(sum(({ served, failed }) => served + failed));
  requests.add(sum(({ tokenRequests }) => tokenRequests));
}

function showEvent(event) {
  const card = cards.get(event.client);
  events.add(event, card?.name ?? '');
}

function announce({ client, name, state }) {
  if (!ANNOUNCED.includes(state) || announced.get(client) === state) return;
  if (announced.has(client)) byId('announcement').textContent = `${name} is ${state}.`;
  announced.set(client, state);
}

function interrupt() {
  calls.interrupt();
  requests.interrupt();
}

function say(text) {
  byId('connection').textContent = text;
}

byId('pause').addEventListener('click', ({ currentTarget }) => {
  const pausing = source.readyState !== EventSource.CLOSED;
  currentTarget.textContent = pausing ? 'Resume' : 'Pause';
  if (!pausing) return connect();
  source.close();
  interrupt();
  say('Paused');
});

connect();
