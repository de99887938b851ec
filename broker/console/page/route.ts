/*
 * Where in the page we are, kept in the address after the "#": "/", "/pool/NAME",
 * "/pool/NAME/key/ID", "/events" with its filters.
 */
import { Store } from './store';

export type Route =
  | { page: 'pools' }
  | { page: 'pool'; pool: string; key: number | null }
  | { page: 'events'; pool: string; key: string; kind: string };

function read(): Route {
  const [path, query = ''] = location.hash.replace(/^#/, '').split('?');
  const parts = path.split('/').filter(Boolean).map(decode);
  if (parts[0] === 'pool' && parts[1])
    return {
      page: 'pool',
      pool: parts[1],
      key: parts[2] === 'key' ? Number(parts[3]) || null : null,
    };
  if (parts[0] === 'events') {
    const asked = new URLSearchParams(query);
    return {
      page: 'events',
      pool: asked.get('pool') ?? '',
      key: asked.get('key') ?? '',
      kind: asked.get('kind') ?? '',
    };
  }
  return { page: 'pools' };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const route = new Store<Route>(read());
window.addEventListener('hashchange', () => route.set(read()));

export function poolAddress(pool: string, key?: number): string {
  return `#/pool/${encodeURIComponent(pool)}${key ? `/key/${key}` : ''}`;
}

export function eventsAddress(filter: { pool?: string; key?: string; kind?: string }): string {
  const asked = new URLSearchParams();
  for (const name of ['pool', 'key', 'kind'] as const)
    if (filter[name]) asked.set(name, filter[name]);
  const query = asked.toString();
  return `#/events${query ? `?${query}` : ''}`;
}

export function go(address: string): void {
  location.hash = address;
}

/* The same, without a new entry in the browser's history. */
export function replaceAddress(address: string): void {
  history.replaceState(null, '', address);
  route.set(read());
}
