/*
 * The live connection: server-sent events from the console, the state of the connection, and the
 * server's clock. Loses no event: the browser resumes after the last one it saw, and where that is
 * not possible everybody is told to load anew. Silence of three seconds counts as not connected.
 */
import { loadSession } from './session';
import { Store } from './store';
import { setServerTime } from './time';
import type { BrokerEvent } from './types';

const SILENCE_MS = 3000;
const GIVE_UP_MS = 10000;
const RETRY_MS = 1000;
const HIDDEN_GRACE_MS = 30000;

export interface Connection {
  live: boolean;
  broker: boolean; /* the console says that it has the broker */
  ever: boolean; /* was live at least once */
  since: number; /* live: since when; lost: when something was heard last (this machine's clock) */
}

export const connection = new Store<Connection>({
  live: false,
  broker: true,
  ever: false,
  since: Date.now(),
});

type Listener = (event: BrokerEvent) => void;
const listeners = new Set<Listener>();
const reloaders = new Set<() => void>();
let source: EventSource | null = null;
let heard = 0;
let lastSeq = 0;
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

function setLive(live: boolean, broker: boolean): void {
  const now = connection.get();
  if (now.live === live && now.broker === broker) return;
  const since = live ? Date.now() : Date.now() - (performance.now() - heard);
  connection.set({ live, broker, ever: now.ever || live, since });
  if (!live || now.live) return;
  reloadAll();
  void loadSession();
}

function hear(message: MessageEvent): any {
  heard = performance.now();
  const data = JSON.parse(message.data);
  if (data?.now) setServerTime(data.now);
  return data;
}

function close(): void {
  source?.close();
  source = null;
  window.clearTimeout(retry);
}

function open(): void {
  close();
  heard = performance.now();
  source = new EventSource(lastSeq ? `/api/stream?since=${lastSeq}` : '/api/stream');
  source.addEventListener('change', (message) => {
    const event = hear(message) as BrokerEvent;
    lastSeq = Math.max(lastSeq, event.seq);
    for (const listener of [...listeners]) listener(event);
  });
  source.addEventListener('beat', (message) => {
    hear(message);
    setLive(true, true);
  });
  source.addEventListener('broker', (message) => {
    const connected = Boolean(hear(message).connected);
    setLive(connected, connected);
  });
  source.addEventListener('reset', () => {
    lastSeq = 0;
    reloadAll();
  });
  source.addEventListener('error', () => {
    setLive(false, connection.get().broker);
    if (source?.readyState !== EventSource.CLOSED) return;
    void loadSession();
    window.clearTimeout(retry);
    retry = window.setTimeout(open, RETRY_MS);
  });
}

function listenForSilence(): void {
  const silence = performance.now() - heard;
  if (silence > SILENCE_MS) setLive(false, connection.get().broker);
  if (source && silence > GIVE_UP_MS) open();
}

/* A browser has few connections to one host: a page that nobody sees gives its own back. */
function followVisibility(): void {
  let hidden = 0;
  document.addEventListener('visibilitychange', () => {
    window.clearTimeout(hidden);
    if (document.hidden)
      hidden = window.setTimeout(() => {
        close();
        setLive(false, connection.get().broker);
      }, HIDDEN_GRACE_MS);
    else if (!source) open();
  });
}

export function startStream(): void {
  open();
  window.setInterval(listenForSilence, 500);
  followVisibility();
}
