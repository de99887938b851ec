/* Search and status filter of a pool's keys; both are judged by the broker. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from './button';
import { Icon } from './icons';
import type { Roster } from './roster';
import { useStore } from './store';
import { STATUSES, type Status } from './types';
import { count, plural } from './words';

const TYPING_MS = 150;

export function Toolbar({ roster }: { roster: Roster }) {
  const { filter, shown, list, pool, waiting } = useStore(roster.store);
  const [text, setText] = useState(filter.match);
  const timer = useRef(0);
  useEffect(() => setText(filter.match), [filter.match]);
  useEffect(() => () => window.clearTimeout(timer.current), []);
  const search = (value: string) => {
    setText(value);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => roster.setFilter({ match: value.trim() }), TYPING_MS);
  };
  const filtered = Boolean(filter.match || filter.status);
  return (
    <div class="toolbar" role="search" aria-label="Find keys">
      <span class="search">
        <Icon name="search" />
        <input
          type="search"
          aria-label="Search keys"
          placeholder="Search keys"
          title="Looks into names, accounts and notes"
          value={text}
          spellcheck={false}
          autocapitalize="off"
          onInput={(event) => search(event.currentTarget.value)}
        />
      </span>
      <select
        aria-label="Status"
        value={filter.status}
        onChange={(event) => roster.setFilter({ status: event.currentTarget.value as Status | '' })}
      >
        <option value="">All statuses</option>
        {STATUSES.map((status) => (
          <option key={status} value={status} selected={status === filter.status}>
            {status} ({count(pool?.counts[status] ?? 0)})
          </option>
        ))}
      </select>
      {filtered && (
        <Button kind="quiet" onClick={() => roster.setFilter({ match: '', status: '' })}>
          Clear
        </Button>
      )}
      <span class="found faint" role="status">
        {list &&
          filtered &&
          shown === filter &&
          `${count(list.total)} of ${plural(list.pool_total, 'key')}. Reordering is off while a filter is on.`}
        {waiting && ' Changes wait until you are done.'}
      </span>
    </div>
  );
}
