/*
 * Who is signed in and what they may do. A session has two secrets: the cookie, which no script
 * sees but which a browser sends to every port of this host, and the page's own, which stays with
 * this scheme, host and port: the console hands it over in the page that one comes in through, it
 * is kept in this origin's storage for all its tabs, and everything that is asked sends it.
 *
 * Who may do what is asked at the start and after every reconnect; a session that has ended leads
 * back to the sign-in page.
 */
import { Store } from './store';

export interface Session {
  access: 'admin' | 'viewer' | null; /* null = not known: the broker can't be asked */
  version: string;
}

export const session = new Store<Session>({ access: null, version: '' });

const KEPT = 'keybroker.page-secret';

/* Keep what the console hands over, and go on to the page; false: it hands over nothing here.
 * Where nothing can be kept, the page that says so stays. */
export function enter(): boolean {
  const given = document.querySelector<HTMLMetaElement>('meta[name=page-secret]')?.content;
  if (!given) return false;
  localStorage.setItem(KEPT, given);
  location.replace(`/${location.hash}`);
  return true;
}

/* Read each time: another tab may have signed in anew. */
function pageSecret(): string | null {
  return localStorage.getItem(KEPT);
}

/* Ask the console something, as somebody who signed in. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('Keybroker-Page-Secret', pageSecret() ?? '');
  const answer = await fetch(path, { ...init, headers, credentials: 'same-origin' });
  if (answer.status === 401) leave();
  return answer;
}

function leave(): void {
  location.replace('/?sign-in=again');
}

export async function loadSession(): Promise<void> {
  try {
    const response = await ask('/api/session');
    if (!response.ok) return;
    const answer = await response.json();
    session.set({ access: answer.access ?? null, version: answer.version ?? '' });
  } catch {
    /* the connection's state says it already */
  }
}

export async function signOut(): Promise<void> {
  await ask('/logout', { method: 'POST' }).catch(() => undefined);
  localStorage.removeItem(KEPT);
  location.assign('/');
}
