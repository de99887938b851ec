/*
 * The live connection: the console's events, the state of the connection, and the server's clock.
 * Loses no event: it resumes after the last one it saw, and where that is not possible everybody is
 * told to load anew. Silence of three seconds counts as not connected: whose it is can be told,
 * because the console sends signs of life also while the broker is away.
 */
import { loadSession } from './session';
import { type Message, readMessages } from './sse';
import { Store } from './store';
import { setServerTime } from './time';
import type { BrokerEvent } from './types';

const SILENCE_MS = 3000; /* without a message */
const DEAD_MS = 4000; /* without a sign of life, of which there is one in two seconds */
const GIVE_UP_MS = 10000;
const RETRY_MS = 1000;
const HIDDEN_GRACE_MS = 30000;

/* Who does not answer; or the broker refuses the console, and says why. */
export type Lost = { who: 'console' | 'broker' } | { who: 'refused'; why: string };

export interface Connection {
  live: boolean;
  lost: Lost | null; /* null and not live: it begins */
  ever: boolean; /* was live at least once */
  since: number; /* live: since when; lost: when something was heard last (this machine's clock) */
}

export const connection = new Store<Connection>({
  live: false,
  lost: null,
  ever: false,
  since: Date.now(),
});

type Listener = (event: BrokerEvent) => void;
const listeners = new Set<Listener>();
const reloaders = new Set<() => void>();
let reading: AbortController | null = null;
let heard = 0; /* a message */
let alive = 0; /* anything */
let lastId = '';
let retry = 0;

export function onEvent(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/* Called when what was loaded before may have missed something. */
export function onReload(reload: () => void): () => void {
  reloaders.add(reload);
  return () => reloaders.delete(reload);
}

function reloadAll(): void {
  for (const reload of [...reloaders]) reload();
}

function lose(lost: Lost | null): void {
  const now = connection.get();
  if (!now.live && JSON.stringify(now.lost) === JSON.stringify(lost)) return;
  const since = now.live ? Date.now() - (performance.now() - heard) : now.since;
  connection.set({ live: false, lost, ever: now.ever, since });
}

function beLive(): void {
  if (connection.get().live) return;
  connection.set({ live: true, lost: null, ever: true, since: Date.now() });
  reloadAll();
  void loadSession();
}

const kinds: Record<string, (data: any) => void> = {
  change: (event: BrokerEvent) => {
    for (const listener of [...listeners]) listener(event);
  },
  beat: beLive,
  broker: ({ connected, refused }) => {
    if (connected) beLive();
    else lose(refused ? { who: 'refused', why: refused } : { who: 'broker' });
  },
  reset: reloadAll,
};

function hear(message: Message): void {
  heard = performance.now();
  if (message.id) lastId = message.id;
  const data = JSON.parse(message.data);
  if (data.now) setServerTime(data.now);
  kinds[message.event]?.(data);
}

function close(): void {
  reading?.abort();
  reading = null;
  window.clearTimeout(retry);
}

function open(): void {
  close();
  heard = alive = performance.now();
  const mine = (reading = new AbortController());
  const path = lastId ? `/api/stream?since=${lastId}` : '/api/stream';
  readMessages(path, mine.signal, hear, () => (alive = performance.now()))
    .catch(() => undefined)
    .finally(() => {
      if (mine !== reading) return;
      lose({ who: 'console' });
      retry = window.setTimeout(open, RETRY_MS);
    });
}

function listenForSilence(): void {
  const now = performance.now();
  if (!reading) return;
  if (now - alive > DEAD_MS) lose({ who: 'console' });
  else if (now - heard > SILENCE_MS && connection.get().live)
    lose({ who: now - alive > SILENCE_MS ? 'console' : 'broker' });
  if (now - alive > GIVE_UP_MS) open();
}

/* A browser has few connections to one host: a page that nobody sees gives its own back. */
function followVisibility(): void {
  let hidden = 0;
  document.addEventListener('visibilitychange', () => {
    window.clearTimeout(hidden);
    if (document.hidden)
      hidden = window.setTimeout(() => {
        close();
        lose(null);
      }, HIDDEN_GRACE_MS);
    else if (!reading) open();
  });
}

export function startStream(): void {
  open();
  window.setInterval(listenForSilence, 500);
  followVisibility();
}
