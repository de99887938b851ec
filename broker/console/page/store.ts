/*
 * A store: one value that components watch. Whoever owns the store sets it; a component that calls
 * useStore is drawn again when the value has become another.
 */
import { useEffect, useState } from 'preact/hooks';

export class Store<T> {
  private readonly watchers = new Set<() => void>();

  constructor(private value: T) {}

  get(): T {
    return this.value;
  }

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const watcher of [...this.watchers]) watcher();
  }

  change(part: Partial<T>): void {
    this.set({ ...this.value, ...part });
  }

  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}

export function useStore<T>(store: Store<T>): T {
  const [, draw] = useState({});
  const drawn = store.get();
  useEffect(() => {
    const stop = store.watch(() => draw({}));
    if (!Object.is(drawn, store.get())) draw({}); /* it changed before this effect was run */
    return stop;
  }, [store]);
  return drawn;
}
