/*
 * The table of a pool's keys: as many rows as are in sight, in the order of the pool, each drawn at
 * its place. While a row is lifted the others make room for it. The rows' order in the document
 * stays as it was until the drop, so that the focus is not lost.
 */
import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useDrag } from './drag';
import { HeadCell } from './head_cell';
import type { Lift } from './lift';
import { useStable } from './memo';
import type { Roster } from './roster';
import { EmptyRow, KeyRow, type RowContext } from './row';
import { useStore } from './store';
import type { Key } from './types';
import { useWindowed } from './windowed';

type TableContext = Omit<RowContext, 'handleKey' | 'handleBlur'>;

interface RowsProps {
  roster: Roster;
  lift: Lift;
  context: TableContext;
  selected: Set<number>;
  selectAll: (all: boolean) => void;
  whyNotAll: string | null;
}

function HeadRow({ context, selected, selectAll, whyNotAll, roster }: RowsProps) {
  const keys = roster.store.get().list?.keys ?? [];
  const all = keys.length > 0 && keys.every((key) => selected.has(key.id));
  const some = !all && selected.size > 0;
  return (
    <div class="row head" role="row" aria-rowindex={1}>
      <HeadCell of="select">
        <input
          type="checkbox"
          aria-label="Select all keys"
          title={whyNotAll ?? 'Select all keys'}
          disabled={Boolean(whyNotAll)}
          checked={all}
          indeterminate={some}
          onClick={() => selectAll(!all)}
        />
      </HeadCell>
      <HeadCell of="grip">
        <span class="unseen">Reorder</span>
      </HeadCell>
      <HeadCell of="number">#</HeadCell>
      <HeadCell of="name">Name</HeadCell>
      <HeadCell of="state">Status</HeadCell>
      <HeadCell of="secret">Key</HeadCell>
      <HeadCell of="url">Base URL</HeadCell>
      <HeadCell of="account">Account</HeadCell>
      {context.spread && <HeadCell of="weight">Weight</HeadCell>}
      <HeadCell of="expiry">Expires</HeadCell>
      <HeadCell of="changed">Last change</HeadCell>
      <HeadCell of="actions">
        <span class="unseen">Actions</span>
      </HeadCell>
    </div>
  );
}

/* Bring the place of a lifted row into sight, clear of what sticks to the window's edges. */
function showPlace(list: HTMLElement, place: number, rowHeight: number): void {
  const top = list.getBoundingClientRect().top + place * rowHeight;
  if (top < 3 * rowHeight) window.scrollBy(0, top - 3 * rowHeight);
  else if (top + 2 * rowHeight > innerHeight) window.scrollBy(0, top + 2 * rowHeight - innerHeight);
}

/* The keys of a handle: lift, move, drop, put back; without a lift the arrows walk the handles. */
function useHandle(lift: Lift, mayMove: string | null, rowHeight: number) {
  const focusAt = useRef<number | null>(null); /* the key's id whose handle gets the focus back */
  const steps: Record<string, number> = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 };

  const lifted = (event: KeyboardEvent, to: number): boolean => {
    if (event.key in steps) lift.moveTo(to + steps[event.key]);
    else if (event.key === 'Home') lift.moveTo(0);
    else if (event.key === 'End') lift.moveTo(Number.MAX_SAFE_INTEGER);
    else if (event.key === ' ' || event.key === 'Enter') void lift.drop();
    else if (event.key === 'Escape') lift.cancel();
    else return event.key !== 'Tab';
    return true;
  };

  const walk = (event: KeyboardEvent, index: number): boolean => {
    if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return false;
    const row = document.querySelector(`.row[data-index="${index + steps[event.key]}"] .handle`);
    (row as HTMLElement | null)?.focus();
    return true;
  };

  const handleKey = (event: KeyboardEvent, key: Key, index: number) => {
    const now = lift.store.get();
    let used = false;
    if (now && now.key.id === key.id) {
      focusAt.current = key.id;
      used = lifted(event, now.to);
      const list = (event.currentTarget as HTMLElement).closest<HTMLElement>('.rows');
      if (list) showPlace(list, lift.store.get()?.to ?? now.from, rowHeight);
    } else if ((event.key === ' ' || event.key === 'Enter') && !mayMove) {
      used = true;
      focusAt.current = key.id;
      lift.begin(key, index, 'keyboard');
    } else {
      used = walk(event, index);
    }
    if (used) event.preventDefault();
  };

  const handleBlur = (key: Key) => {
    const now = lift.store.get();
    if (now?.by === 'keyboard' && now.key.id === key.id) lift.cancel();
  };

  /* Rows that changed places in the document lose the focus: give it back. */
  useLayoutEffect(() => {
    if (focusAt.current === null || lift.store.get()?.by === 'pointer') return;
    if (document.activeElement !== document.body) {
      if (!lift.store.get()) focusAt.current = null;
      return;
    }
    const selector = `.row[data-id="${focusAt.current}"] .handle`;
    document.querySelector<HTMLElement>(selector)?.focus({ preventScroll: true });
    if (!lift.store.get()) focusAt.current = null;
  });
  return { handleKey: useStable(handleKey), handleBlur: useStable(handleBlur) };
}

/* The row that has the focus stays drawn when it is scrolled out of sight. */
function useFocused(): [number | null, (event: FocusEvent) => void] {
  const [focused, setFocused] = useState<number | null>(null);
  const follow = (event: FocusEvent) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('.row[data-index]');
    setFocused(row ? Number(row.dataset.index) : null);
  };
  return [focused, follow];
}

export function Rows(props: RowsProps) {
  const { roster, lift, context } = props;
  const { list } = useStore(roster.store);
  const lifted = useStore(lift.store);
  const total = list?.total ?? 0;
  const windowed = useWindowed(total);
  const { rowHeight, first, last } = windowed;
  const [focused, followFocus] = useFocused();
  const allowed = !context.mayMove;
  useDrag(roster, lift, windowed, allowed);
  const handle = useHandle(lift, context.mayMove, rowHeight);
  useEffect(() => {
    if (total) roster.look(first, last);
  }, [roster, first, last, total, list]);

  const act = useStable(context.act);
  const select = useStable(context.select);
  const { pool, spread, next, mayChange, mayMove } = context;
  const shared: RowContext = useMemo(
    () => ({ pool, spread, next, total, mayChange, mayMove, act, select, ...handle }),
    [pool, spread, next, total, mayChange, mayMove],
  );
  const drawn: VNode[] = [];
  const draw = (index: number) => {
    const mine = lifted?.from === index ? lifted : null;
    const place = lift.drawnAt(index);
    const item = mine ? mine.key : roster.keyAt(index);
    drawn.push(
      item ? (
        <KeyRow
          key={item.id}
          item={item}
          index={index}
          place={place}
          rowHeight={rowHeight}
          lifted={Boolean(mine)}
          chosen={props.selected.has(item.id)}
          context={shared}
        />
      ) : (
        <EmptyRow key={`empty-${index}`} place={place} rowHeight={rowHeight} />
      ),
    );
  };
  const wanted = new Set<number>();
  for (let index = first; index <= last && index < total; index++) wanted.add(index);
  if (focused !== null && focused < total && roster.keyAt(focused)) wanted.add(focused);
  if (lifted) wanted.add(lifted.from);
  for (const index of [...wanted].sort((a, b) => a - b)) draw(index);
  return (
    <div
      class={`table ${context.spread ? 'spread' : ''} ${lifted ? 'lifting' : ''}`}
      role="table"
      aria-label={`Keys of ${context.pool}`}
      aria-rowcount={total + 1}
      aria-busy={!list}
    >
      <div class="table-head" role="rowgroup">
        <HeadRow {...props} />
      </div>
      <div
        ref={windowed.list}
        class="rows"
        role="rowgroup"
        style={{ height: `${total * rowHeight}px` }}
        onFocusIn={followFocus}
      >
        {drawn}
      </div>
    </div>
  );
}
