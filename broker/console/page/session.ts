/*
 * Who is signed in and what they may do. Asked once at the start and after every reconnect; a
 * session that has ended leads back to the sign-in page, which the console serves at "/".
 */
import { Store } from './store';

export interface Session {
  access: 'admin' | 'viewer' | null; /* null = not known: the broker can't be asked */
  version: string;
}

export const session = new Store<Session>({ access: null, version: '' });

export function leave(): void {
  location.reload();
}

export async function loadSession(): Promise<void> {
  try {
    const response = await fetch('/api/session', { credentials: 'same-origin' });
    if (response.status === 401) return leave();
    if (!response.ok) return;
    const answer = await response.json();
    session.set({ access: answer.access ?? null, version: answer.version ?? '' });
  } catch {
    /* the connection's state says it already */
  }
}

export async function signOut(): Promise<void> {
  await fetch('/logout', { method: 'POST', credentials: 'same-origin' }).catch(() => undefined);
  location.assign('/');
}
