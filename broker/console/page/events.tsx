/*
 * The events' page: newest first, live. Whoever has scrolled down keeps their place: new ones wait
 * behind a button until they are asked for.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { command } from './api';
import { Button } from './button';
import { EmptyState, Trouble } from './empty';
import { EventLine } from './event_line';
import { HeadCell } from './head_cell';
import { History } from './history';
import { Icon } from './icons';
import { useResource } from './resource';
import { eventsAddress, replaceAddress } from './route';
import { useStore } from './store';
import type { BrokerEvent, Pool } from './types';
import { useWindowed } from './windowed';
import { count, plural } from './words';

const KINDS = [
  'failover',
  'status',
  'expired',
  'report',
  'guard',
  'add key',
  'set key',
  'delete key',
  'move key',
  'order keys',
  'import',
  'add pool',
  'set pool',
  'delete pool',
  'export',
  'backup',
  'rotate master-key',
];
const AT_TOP_PX = 80;
const TYPING_MS = 250;

export interface EventFilter {
  pool: string;
  key: string;
  kind: string;
}

function Filters({ filter, poolNames }: { filter: EventFilter; poolNames: string[] }) {
  const set = (part: Partial<EventFilter>) => replaceAddress(eventsAddress({ ...filter, ...part }));
  const [key, setKey] = useState(filter.key);
  const timer = useRef(0);
  useEffect(() => setKey(filter.key), [filter.key]);
  useEffect(() => () => window.clearTimeout(timer.current), []);
  const typeKey = (value: string) => {
    setKey(value);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => set({ key: value.trim() }), TYPING_MS);
  };
  const pools =
    filter.pool && !poolNames.includes(filter.pool) ? [filter.pool, ...poolNames] : poolNames;
  return (
    <div class="toolbar" role="search" aria-label="Filter events">
      <select
        aria-label="Pool"
        value={filter.pool}
        onChange={(event) => set({ pool: event.currentTarget.value })}
      >
        <option value="">All pools</option>
        {pools.map((name) => (
          <option key={name} value={name} selected={name === filter.pool}>
            {name}
          </option>
        ))}
      </select>
      <span class="search">
        <Icon name="search" />
        <input
          type="search"
          aria-label="Key"
          placeholder="Key"
          value={key}
          spellcheck={false}
          autocapitalize="off"
          onInput={(event) => typeKey(event.currentTarget.value)}
        />
      </span>
      <select
        aria-label="Kind"
        value={filter.kind}
        onChange={(event) => set({ kind: event.currentTarget.value })}
      >
        <option value="">All kinds</option>
        {KINDS.map((kind) => (
          <option key={kind} value={kind} selected={kind === filter.kind}>
            {kind}
          </option>
        ))}
      </select>
      {(filter.pool || filter.key || filter.kind) && (
        <Button kind="quiet" onClick={() => set({ pool: '', key: '', kind: '' })}>
          Clear
        </Button>
      )}
    </div>
  );
}

function EventTable({ events }: { events: BrokerEvent[] }) {
  const { list, rowHeight, first, last } = useWindowed(events.length);
  return (
    <div class="table events" role="table" aria-label="Events" aria-rowcount={events.length + 1}>
      <div class="table-head" role="rowgroup">
        <div class="event head" role="row" aria-rowindex={1}>
          <HeadCell of="when">Time</HeadCell>
          <HeadCell of="where">Pool and key</HeadCell>
          <HeadCell of="what">What</HeadCell>
          <HeadCell of="reason">Why</HeadCell>
          <HeadCell of="who">Who</HeadCell>
        </div>
      </div>
      <div
        ref={list}
        class="rows"
        role="rowgroup"
        style={{ height: `${events.length * rowHeight}px` }}
      >
        {events.slice(first, last + 1).map((event, at) => (
          <div
            key={event.seq}
            class="event"
            role="row"
            aria-rowindex={first + at + 2}
            data-seq={event.seq}
            style={{ '--y': `${(first + at) * rowHeight}px` }}
          >
            <EventLine event={event} />
          </div>
        ))}
      </div>
    </div>
  );
}

/* At the top new events come in by themselves; further down they wait. */
function useAtTop(history: History): void {
  useEffect(() => {
    const look = () => history.follow(window.scrollY < AT_TOP_PX);
    look();
    window.addEventListener('scroll', look, { passive: true });
    return () => window.removeEventListener('scroll', look);
  }, [history]);
}

export function EventsPage({ filter }: { filter: EventFilter }) {
  const pools = useResource<{ pools: Pool[] }>(
    'pools',
    () => command(['show', 'pools']),
    (event) => event.kind === 'add pool' || event.kind === 'delete pool',
  );
  const history = useMemo(() => new History(filter), [filter.pool, filter.key, filter.kind]);
  useEffect(() => () => history.stop(), [history]);
  useAtTop(history);
  const state = useStore(history.store);
  const showNew = () => {
    window.scrollTo({ top: 0 });
    history.follow(true);
  };
  if (!state.loaded && state.trouble && !filter.key) return <Trouble text={state.trouble} />;
  const filtered = Boolean(filter.pool || filter.key || filter.kind);
  return (
    <main class="page" data-page="events">
      <header class="page-head">
        <div class="title">
          <h1>Events</h1>
          <span class="faint">
            {state.loaded && `${count(state.events.length)} shown, newest first`}
          </span>
        </div>
      </header>
      <Filters filter={filter} poolNames={(pools.value?.pools ?? []).map((pool) => pool.name)} />
      {state.waiting.length > 0 && (
        <p class="new-events">
          <Button kind="primary" onClick={showNew}>
            {`Show ${plural(state.waiting.length, 'new event')}`}
          </Button>
        </p>
      )}
      {state.events.length > 0 ? (
        <EventTable events={state.events} />
      ) : (
        <EmptyState
          title={
            filtered ? 'No event matches' : state.loaded ? 'Nothing has happened yet' : 'Loading…'
          }
        >
          <p>
            {state.trouble ??
              (filtered
                ? 'Of those that the broker keeps, none is of this kind.'
                : 'Every change of a pool or a key appears here, with who did it and why.')}
          </p>
        </EmptyState>
      )}
      {state.older && (
        <p class="older">
          <Button onClick={() => history.loadOlder()}>Show older events</Button>
        </p>
      )}
    </main>
  );
}
