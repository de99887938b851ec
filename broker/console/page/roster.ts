/*
 * A pool and the keys of it that are looked at: the roster asks the broker for a window of rows,
 * keeps it true as events come, and waits with what it hears while somebody drags or edits. It
 * changes nothing in the broker.
 */
import { command, messageOf, Refusal } from './api';
import { coalesced, type Coalesced } from './coalesce';
import { follow } from './resource';
import { Store } from './store';
import type { Key, KeyList, Pool, Status } from './types';

/* Up to so many keys are held whole; of more, a window around what is seen. */
const WHOLE_MAX = 400;
const WINDOW = 300;
const MARGIN = 100;
const STEP = 50;

export interface Filter {
  match: string;
  status: Status | '';
}

const ALL: Filter = { match: '', status: '' };

export interface RosterState {
  pool: Pool | null;
  list: KeyList | null;
  offset: number;
  filter: Filter; /* what is asked for */
  shown: Filter; /* what the list is of: an older filter, as long as the answer is on its way */
  trouble: string | null;
  missing: boolean;
  waiting: boolean; /* something changed that is not shown yet */
}

/* The keys as they come, but those that are what they were as the same objects: so that only rows
 * of which something changed are drawn again. */
function keepSame(old: Key[], fresh: Key[]): Key[] {
  const before = new Map(old.map((key) => [key.id, key]));
  return fresh.map((key) => {
    const known = before.get(key.id);
    return known && JSON.stringify(known) === JSON.stringify(key) ? known : key;
  });
}

export class Roster {
  readonly store = new Store<RosterState>({
    pool: null,
    list: null,
    offset: 0,
    filter: ALL,
    shown: ALL,
    trouble: null,
    missing: false,
    waiting: false,
  });
  private readonly ask: Coalesced;
  private readonly unfollow: () => void;
  private holds = 0;
  private first = 0;
  private turn = 0;

  constructor(readonly name: string) {
    this.ask = coalesced(() => this.load());
    this.unfollow = follow(this.ask, (event) => event.pool === name);
    this.ask();
  }

  stop(): void {
    this.turn++;
    this.ask.stop();
    this.unfollow();
  }

  reload(): void {
    this.ask();
  }

  get filtered(): boolean {
    const { filter, shown } = this.store.get();
    return [filter, shown].some((each) => each.match || each.status);
  }

  /* Every key of the pool is here, in its order. */
  get whole(): boolean {
    const { list } = this.store.get();
    return Boolean(list && !this.filtered && list.keys.length === list.pool_total);
  }

  keyAt(index: number): Key | undefined {
    const { list, offset } = this.store.get();
    return list?.keys[index - offset];
  }

  setFilter(part: Partial<Filter>): void {
    const state = this.store.get();
    this.first = 0;
    this.store.change({ filter: { ...state.filter, ...part } });
    void this.load();
  }

  /* The rows from `first` to `last` are looked at. */
  look(first: number, last: number): void {
    const { list, offset } = this.store.get();
    this.first = first;
    if (!list || list.keys.length === list.total) return;
    const end = offset + list.keys.length;
    const nearTop = first - MARGIN / 2 < offset && offset > 0;
    const nearEnd = last + MARGIN / 2 > end && end < list.total;
    if (nearTop || nearEnd) this.ask();
  }

  /* Until the returned function is called, rows stay as they are. */
  hold(): () => void {
    let held = true;
    this.holds++;
    return () => {
      if (!held) return;
      held = false;
      if (--this.holds || !this.store.get().waiting) return;
      this.store.change({ waiting: false });
      this.ask();
    };
  }

  /* Ask now. `beforeShow` runs in the same turn as the new rows are set. */
  async load(beforeShow?: () => void): Promise<void> {
    const turn = ++this.turn;
    const { filter, list } = this.store.get();
    const large = list !== null && list.total > WHOLE_MAX;
    const offset = large ? Math.max(0, Math.floor((this.first - MARGIN) / STEP) * STEP) : 0;
    const words = ['show', 'keys', this.name, `offset=${offset}`];
    words.push(`limit=${large ? WINDOW : WHOLE_MAX}`);
    if (filter.status) words.push(`status=${filter.status}`);
    if (filter.match) words.push(`match=${filter.match}`);
    try {
      const [pool, fresh] = await Promise.all([
        command<Pool>(['show', 'pool', this.name]),
        command<KeyList>(words),
      ]);
      beforeShow?.();
      if (turn !== this.turn) return;
      this.take(pool, fresh, offset, filter, Boolean(beforeShow));
    } catch (error) {
      beforeShow?.();
      if (turn !== this.turn) return;
      const missing = error instanceof Refusal && error.code === 404;
      this.store.change({ trouble: messageOf(error), missing });
    }
  }

  private take(pool: Pool, fresh: KeyList, offset: number, shown: Filter, forced: boolean): void {
    const { list } = this.store.get();
    /* While held, a further part of the same order may come in, nothing else. */
    const sameOrder = list && list.revision === fresh.revision && list.total === fresh.total;
    const news = { pool, trouble: null, missing: false };
    if (this.holds && !forced && list && !(sameOrder && offset !== this.store.get().offset)) {
      this.store.change({ ...news, waiting: true });
      return;
    }
    const keys = keepSame(list?.keys ?? [], fresh.keys);
    this.store.change({ ...news, list: { ...fresh, keys }, offset, shown, waiting: false });
    const overshot = !fresh.keys.length && fresh.total > 0 && offset > 0;
    if (overshot) this.first = fresh.total - 1;
    const tooFew = fresh.total > fresh.keys.length && offset > this.first;
    if (overshot || tooFew) this.ask();
  }
}
