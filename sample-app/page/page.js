import { SecondsChart } from './chart.js';
import { ClinicCard } from './clinic-card.js';
import { EventList } from './event-list.js';
import { PartnerCard } from './partner-card.js';

/** States that are worth interrupting a listener for. */
const ANNOUNCED = ['fresh', 'degraded', 'down', 'removed'];

const cards = new Map();
const clinics = new Map();
const announced = new Map();
const byId = (id) => document.getElementById(id);
const events = new EventList(byId('events'));
const calls = new SecondsChart(byId('calls-chart'), 'Calls', '--calls');
const requests = new SecondsChart(byId('requests-chart'), 'Token requests', '--requests');

const totals = { partners: [] };

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
  source.addEventListener('clinics', ({ data }) => showClinics(JSON.parse(data)));
  source.addEventListener('token', ({ data }) => showEvent(JSON.parse(data)));
}

function showPartners(partners) {
  for (const partner of partners) {
    if (!cards.has(partner.client)) {
      cards.set(partner.client, new PartnerCard(partner));
      byId('partners').append(cards.get(partner.client).element);
    }
    cards.get(partner.client).show(partner);
    announce(cards.get(partner.client), partner);
  }
  totals.partners = partners;
}

function showClinics(all) {
  for (const clinic of all) {
    if (!clinics.has(clinic.clinic)) {
      clinics.set(clinic.clinic, new ClinicCard(clinic));
      byId('clinics').append(clinics.get(clinic.clinic).element);
    }
    clinics.get(clinic.clinic).show(clinic);
    announce(clinics.get(clinic.clinic), clinic);
  }
  // the partners' figures came right before
  const shown = [...totals.partners, ...all];
  const sum = (count) => shown.map(count).reduce((total, each) => total + each, 0);
  calls.add(sum(({ served, failed }) => served + failed));
  requests.add(sum(({ tokenRequests }) => tokenRequests));
}

function showEvent(event) {
  const clinic = clinics.get(event.tenant);
  events.add(event, clinic ? `Imaging archive, ${clinic.name}` : (cards.get(event.client)?.name ?? ''));
}

function announce({ name, story }, { state }) {
  if (!ANNOUNCED.includes(state)) return;
  const before = announced.get(name);
  announced.set(name, { state, story });
  if (before === undefined) return;
  if (before.state !== state) byId('announcement').textContent = `${name} is ${state}.`;
  else if (before.story !== story) byId('announcement').textContent = `${name}: ${story}`;
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
