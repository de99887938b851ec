/* A pool's page: its sentence, its keys in order of priority, and everything done to them. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Button } from './button';
import { KeyDrawer } from './drawer';
import { EmptyState, Trouble } from './empty';
import { KeyDialog } from './key_dialog';
import { DeleteKeys, PositionDialog } from './key_questions';
import { Lift } from './lift';
import { useMayChange } from './may';
import { moveKey } from './order';
import { PasteDialog } from './paste_dialog';
import { PoolHead } from './pool_head';
import { PoolSettings } from './pool_settings';
import { Roster } from './roster';
import { go, poolAddress } from './route';
import type { KeyAction } from './row';
import { Rows } from './rows';
import { SelectionBar } from './selection';
import { useStore } from './store';
import { disableKeys, enableKeys } from './switching';
import { toast } from './toast';
import { Toolbar } from './toolbar';
import type { Key } from './types';

type Open =
  | { kind: 'add' | 'paste' | 'settings' }
  | { kind: 'edit' | 'vendor'; item: Key }
  | { kind: 'delete'; keys: Key[] }
  | { kind: 'position'; item: Key; index: number };

/* Which keys are selected, by id; what was seen of them is kept, also when it scrolls away. */
function useSelection(roster: Roster) {
  const { list } = useStore(roster.store);
  const [chosen, setChosen] = useState<Map<number, Key>>(new Map());
  const anchor = useRef(0);
  const fresh = new Map(list?.keys.map((key) => [key.id, key]));
  const keys = [...chosen.values()]
    .map((key) => fresh.get(key.id) ?? key)
    .filter((key) => fresh.has(key.id) || !roster.whole);

  const select = (key: Key, index: number, range: boolean) => {
    const next = new Map(chosen);
    const on = !chosen.has(key.id);
    const from = range ? Math.min(anchor.current, index) : index;
    const to = range ? Math.max(anchor.current, index) : index;
    for (let at = from; at <= to; at++) {
      const each = roster.keyAt(at);
      if (each && on) next.set(each.id, each);
      else if (each) next.delete(each.id);
    }
    anchor.current = index;
    setChosen(next);
  };
  const selectAll = (all: boolean) =>
    setChosen(all ? new Map(list?.keys.map((key) => [key.id, key])) : new Map());
  return { keys, ids: new Set(keys.map((key) => key.id)), select, selectAll };
}

/* Why rows can't be moved now. */
function whyNotMove(roster: Roster, mayChange: string | null): string | null {
  if (mayChange) return mayChange;
  return roster.filtered
    ? 'A filter is on: clear it to reorder, the order is that of all keys.'
    : null;
}

export function PoolPage({ name, openKey }: { name: string; openKey: number | null }) {
  const roster = useMemo(() => new Roster(name), [name]);
  const lift = useMemo(() => new Lift(roster), [roster]);
  useEffect(() => () => roster.stop(), [roster]);
  const state = useStore(roster.store);
  const { pool, list } = state;
  const mayChange = useMayChange();
  const selection = useSelection(roster);
  const [open, setOpen] = useState<Open | null>(null);
  const mayMove = whyNotMove(roster, mayChange);
  const close = useCallback(() => setOpen(null), []);
  const done = () => {
    close();
    roster.reload();
  };

  /* While an edit is open the rows wait with what they hear. */
  useEffect(() => (open ? roster.hold() : undefined), [open, roster]);

  if (state.missing)
    return (
      <EmptyState title={`There is no pool ${name}`}>
        <p>It may have been deleted.</p>
        <a class="button" href="#/">
          Show all pools
        </a>
      </EmptyState>
    );
  if (!pool || !list) return <Trouble text={state.trouble} />;

  const act = (action: KeyAction, item: Key, index: number) => {
    const last = list.total - 1;
    const places: Partial<Record<KeyAction, number>> = {
      up: index - 1,
      down: index + 1,
      top: 0,
      bottom: last,
    };
    const place = places[action];
    if (place !== undefined) void moveKey(roster, item, index, place);
    else if (action === 'enable') void enableKeys(roster, [item]);
    else if (action === 'disable') void disableKeys(roster, [item]);
    else if (action === 'delete') setOpen({ kind: 'delete', keys: [item] });
    else if (action === 'edit') setOpen({ kind: 'edit', item });
    else if (action === 'position') setOpen({ kind: 'position', item, index });
  };

  const defaultKey = list.keys.find((key) => key.default) ?? null;
  const context = {
    pool: name,
    spread: pool.strategy === 'spread',
    next: pool.next,
    total: list.total,
    mayChange,
    mayMove,
    act,
    select: selection.select,
  };
  const partly = list.keys.length < list.total;
  return (
    <main class="page pool-page" data-page="pool">
      <PoolHead
        pool={pool}
        keys={list.keys}
        mayChange={mayChange}
        onAdd={() => setOpen({ kind: 'add' })}
        onPaste={() => setOpen({ kind: 'paste' })}
        onSettings={() => setOpen({ kind: 'settings' })}
        onVendor={(item) => setOpen({ kind: 'vendor', item })}
      />
      <Toolbar roster={roster} />
      <p id="how-to-move" hidden>
        Press space to lift the key, arrow keys to move it, space to drop it, escape to put it back.
      </p>
      <p id="why-no-move" hidden>
        {mayMove}
      </p>
      {list.total > 0 ? (
        <Rows
          roster={roster}
          lift={lift}
          context={context}
          selected={selection.ids}
          selectAll={selection.selectAll}
          whyNotAll={partly ? 'Too many keys to select all: filter first.' : null}
        />
      ) : (
        <EmptyState title="No key matches">
          <p>
            {state.filter.status && `None is ${state.filter.status}. `}
            The search looks into names, accounts and notes.
          </p>
          <Button onClick={() => roster.setFilter({ match: '', status: '' })}>
            Clear the filter
          </Button>
        </EmptyState>
      )}
      {pool.total === 1 && !roster.filtered && (
        <NextStep
          mayChange={mayChange}
          onAdd={() => setOpen({ kind: 'add' })}
          onPaste={() => setOpen({ kind: 'paste' })}
        />
      )}
      <SelectionBar
        roster={roster}
        keys={selection.keys}
        mayChange={mayChange}
        mayMove={mayMove ?? (roster.whole ? null : 'Too many keys to move several at once.')}
        onDelete={(keys) => setOpen({ kind: 'delete', keys })}
        onClear={() => selection.selectAll(false)}
      />
      {open?.kind === 'add' && (
        <KeyDialog
          pool={pool}
          item={null}
          title={`Add key to ${name}`}
          onClose={close}
          onDone={done}
        />
      )}
      {open?.kind === 'edit' && (
        <KeyDialog
          pool={pool}
          item={open.item}
          title={`Edit ${open.item.name}`}
          onClose={close}
          onDone={done}
        />
      )}
      {open?.kind === 'vendor' && (
        <KeyDialog
          pool={pool}
          item={open.item}
          title={`Vendor settings of ${name}`}
          onClose={close}
          onDone={done}
        />
      )}
      {open?.kind === 'paste' && (
        <PasteDialog pool={pool} defaultKey={defaultKey} onClose={close} onDone={done} />
      )}
      {open?.kind === 'settings' && <PoolSettings pool={pool} onClose={close} onDone={done} />}
      {open?.kind === 'delete' && (
        <DeleteKeys
          roster={roster}
          keys={open.keys}
          onClose={close}
          onDone={() => {
            selection.selectAll(false);
            close();
          }}
        />
      )}
      {open?.kind === 'position' && (
        <PositionDialog
          roster={roster}
          item={open.item}
          index={open.index}
          total={list.total}
          onClose={close}
        />
      )}
      {openKey !== null && !open && (
        <KeyDrawer
          pool={pool}
          id={openKey}
          mayChange={mayChange}
          onClose={() => go(poolAddress(name))}
          onEdit={(item) => setOpen({ kind: 'edit', item })}
          onDelete={(item) => setOpen({ kind: 'delete', keys: [item] })}
          onEnable={(item) => void enableKeys(roster, [item])}
          onDisable={(item) => void disableKeys(roster, [item])}
          onGone={() => {
            toast('That key is gone.');
            go(poolAddress(name));
          }}
        />
      )}
    </main>
  );
}

function NextStep({
  mayChange,
  onAdd,
  onPaste,
}: {
  mayChange: string | null;
  onAdd: () => void;
  onPaste: () => void;
}) {
  return (
    <section class="next-step">
      <h2>One key can’t fail over</h2>
      <p>
        Add a second key: when the first one is refused or runs into a limit, every worker goes on
        with the next within microseconds. The topmost usable key is used first; drag to change
        that.
      </p>
      <span class="buttons">
        <Button icon="plus" why={mayChange} onClick={onAdd}>
          Add a second key
        </Button>
        <Button why={mayChange} onClick={onPaste}>
          Paste several
        </Button>
      </span>
    </section>
  );
}
