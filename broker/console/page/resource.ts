/*
 * Something loaded from the broker and kept true: loaded at the start, after every reconnect, when
 * an event says so, and every few seconds for what has no events (counters).
 */
import { useEffect, useState } from 'preact/hooks';
import { messageOf, Refusal } from './api';
import { coalesced } from './coalesce';
import { connection, onEvent, onReload } from './stream';
import type { BrokerEvent } from './types';

const REFRESH_MS = 5000;

export interface Resource<T> {
  value: T | null;
  trouble: string | null;
  missing: boolean; /* there is no such thing (any more) */
  reload: () => void;
}

/* `key` names what is loaded: with another one everything begins anew. */
export function useResource<T>(
  key: string,
  load: () => Promise<T>,
  concerns: (event: BrokerEvent) => boolean,
): Resource<T> {
  const [state, setState] = useState<Resource<T>>(() => empty());
  useEffect(() => {
    let gone = false;
    const ask = coalesced(async () => {
      try {
        const value = await load();
        if (!gone) setState({ value, trouble: null, missing: false, reload: ask });
      } catch (error) {
        const missing = error instanceof Refusal && error.code === 404;
        if (!gone) setState((old) => ({ ...old, trouble: messageOf(error), missing, reload: ask }));
      }
    });
    setState({ ...empty<T>(), reload: ask });
    ask();
    const stops = follow(ask, concerns);
    return () => {
      gone = true;
      ask.stop();
      stops();
    };
  }, [key]);
  return state;
}

function empty<T>(): Resource<T> {
  return { value: null, trouble: null, missing: false, reload: () => undefined };
}

export function follow(ask: () => void, concerns: (event: BrokerEvent) => boolean): () => void {
  const stopEvents = onEvent((event) => {
    if (concerns(event)) ask();
  });
  const stopReload = onReload(ask);
  const timer = window.setInterval(() => {
    if (connection.get().live && !document.hidden) ask();
  }, REFRESH_MS);
  return () => {
    stopEvents();
    stopReload();
    window.clearInterval(timer);
  };
}
