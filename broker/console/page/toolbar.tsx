/* Search and status filter of a pool's keys; both are judged by the broker. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from './button';
import { Icon } from './icons';
import type { Roster } from './roster';
import { useStore } from './store';
import { STATUSES, type Status } from './types';

const TYPING_MS = 150;

export function Toolbar({ roster }: { roster: Roster }) {
  const { filter, list, pool, waiting } = useStore(roster.store);
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
      <label class="search">
        <span class="unseen">Search by name, account or note</span>
        <Icon name="search" />
        <input
          type="search"
          placeholder="Search keys"
          value={text}
          spellcheck={false}
          autocapitalize="off"
          onInput={(event) => search(event.currentTarget.value)}
        />
      </label>
      <label>
        <span class="unseen">Status</span>
        <select
          value={filter.status}
          onChange={(event) => roster.setFilter({ status: event.currentTarget.value as Status | '' })}
        >
          <option value="">All statuses</option>
          {STATUSES.map((status) => (
            <option key={status} value={status} selected={status === filter.status}>
              {status} ({pool?.counts[status] ?? 0})
            </option>
          ))}
        </select>
      </label>
      {filtered && (
        <Button kind="quiet" onClick={() => roster.setFilter({ match: '', status: '' })}>
          Clear
        </Button>
      )}
      <span class="found faint" role="status">
        {list && filtered && `${list.total} of ${list.pool_total} keys. Reordering is off while a filter is on.`}
        {waiting && ' Changes wait until you are done.'}
      </span>
    </div>
  );
}
