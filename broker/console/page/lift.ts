/*
 * A row that is being moved: lifted by a pointer or the keyboard, shown where it would stand, then
 * dropped or put back. Owns where every row is drawn meanwhile; the order itself is changed by
 * order.ts. While a row is lifted the roster holds what it hears.
 */
import { announceNow } from './announce';
import { moveKey } from './order';
import type { Roster } from './roster';
import { Store } from './store';
import type { Key } from './types';

export interface Lifted {
  key: Key;
  from: number;
  to: number;
  by: 'pointer' | 'keyboard';
  dropping: boolean;
}

export class Lift {
  readonly store = new Store<Lifted | null>(null);
  private release: (() => void) | null = null;

  constructor(private readonly roster: Roster) {}

  /* Where the row at `index` of the order is drawn. */
  drawnAt(index: number): number {
    const lifted = this.store.get();
    if (!lifted) return index;
    const { from, to } = lifted;
    if (index === from) return to;
    if (from < index && index <= to) return index - 1;
    return to <= index && index < from ? index + 1 : index;
  }

  begin(key: Key, index: number, by: Lifted['by']): void {
    this.release?.();
    this.release = this.roster.hold();
    this.store.set({ key, from: index, to: index, by, dropping: false });
    announceNow(
      `${key.name} lifted, at position ${index + 1} of ${this.count}. ` +
        'Arrow keys move it, space drops it, escape puts it back.',
    );
  }

  moveTo(index: number): void {
    const lifted = this.store.get();
    if (!lifted || lifted.dropping) return;
    const to = Math.max(0, Math.min(this.count - 1, index));
    if (to === lifted.to) return;
    this.store.set({ ...lifted, to });
    announceNow(`${lifted.key.name}, position ${to + 1} of ${this.count}`);
  }

  cancel(): void {
    const lifted = this.store.get();
    if (!lifted || lifted.dropping) return;
    this.end();
    announceNow(`${lifted.key.name} is back at position ${lifted.from + 1}.`);
  }

  async drop(): Promise<void> {
    const lifted = this.store.get();
    if (!lifted || lifted.dropping) return;
    if (lifted.to === lifted.from) return this.cancel();
    this.store.set({ ...lifted, dropping: true });
    await moveKey(this.roster, lifted.key, lifted.from, lifted.to, () => this.end());
  }

  private get count(): number {
    return this.roster.store.get().list?.total ?? 0;
  }

  private end(): void {
    this.store.set(null);
    this.release?.();
    this.release = null;
  }
}
