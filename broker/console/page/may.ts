/*
 * What may be done now, by the rules of the broker: each answer is the reason why not, or null. The
 * broker judges again; this is so that nobody finds out only by trying.
 */
import { session } from './session';
import { useStore } from './store';
import { connection } from './stream';
import type { Key } from './types';

export const VIEWER = 'You may look, not change: this console has a viewer’s rights.';

/* For every change. */
export function useMayChange(): string | null {
  const { live } = useStore(connection);
  const { access } = useStore(session);
  if (access === 'viewer') return VIEWER;
  return live ? null : 'Not connected: nothing can be changed now.';
}

export function whyNotEnable(key: Key): string | null {
  if (key.status === 'expired') return `${key.name} has expired: it can’t be enabled.`;
  return key.status === 'normal' ? `${key.name} is normal already.` : null;
}

export function whyNotDisable(key: Key): string | null {
  if (key.status === 'expired') return `${key.name} has expired: it can’t be disabled.`;
  return key.status === 'disabled' ? `${key.name} is disabled already.` : null;
}

export function whyNotDelete(key: Key): string | null {
  return key.default ? `${key.name} is the pool’s default key: it is never deleted.` : null;
}

export function whyNotEdit(key: Key): string | null {
  return key.status === 'expired' && !key.default
    ? `${key.name} has expired: it can be shown, moved and deleted, nothing else.`
    : null;
}
