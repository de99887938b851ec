/*
 * The events that a filter lets through, newest first: loaded once, then fed by the stream. Pool and
 * an exact key are asked of the broker; kind and a part of a key's name are judged here.
 */
import { command, messageOf, Refusal } from './api';
import { Store } from './store';
import { onEvent, onReload } from './stream';
import type { BrokerEvent } from './types';

const LIMITS = [500, 2000, 10000];
const KEPT_MAX = 10000;

interface Filter {
  pool: string;
  key: string;
  kind: string;
}

export interface HistoryState {
  events: BrokerEvent[];
  waiting: BrokerEvent[]; /* newest first, not shown yet */
  loaded: boolean;
  older: boolean; /* there may be more */
  trouble: string | null;
}

export class History {
  readonly store = new Store<HistoryState>({
    events: [],
    waiting: [],
    loaded: false,
    older: false,
    trouble: null,
  });
  private follows = true;
  private step = 0;
  private fresh: BrokerEvent[] = []; /* heard while loading, or in this frame */
  private frame = 0;
  private readonly stops: (() => void)[];

  constructor(private readonly filter: Filter) {
    this.stops = [onEvent((event) => this.hear(event)), onReload(() => void this.load())];
    void this.load();
  }

  stop(): void {
    for (const stop of this.stops) stop();
    window.clearTimeout(this.frame);
  }

  /* Shall new events be shown as they come? */
  follow(follows: boolean): void {
    this.follows = follows;
    const { events, waiting } = this.store.get();
    if (follows && waiting.length) this.show([...waiting, ...events], []);
  }

  loadOlder(): void {
    if (this.step < LIMITS.length - 1) this.step++;
    void this.load();
  }

  private matches(event: BrokerEvent): boolean {
    const { pool, key, kind } = this.filter;
    if (pool && event.pool !== pool) return false;
    if (kind && event.kind !== kind) return false;
    return !key || (event.key ?? '').toLowerCase().includes(key.toLowerCase());
  }

  private show(events: BrokerEvent[], waiting: BrokerEvent[]): void {
    this.store.change({ events: events.slice(0, KEPT_MAX), waiting: waiting.slice(0, KEPT_MAX) });
  }

  private hear(event: BrokerEvent): void {
    if (!this.matches(event)) return;
    this.fresh.push(event);
    if (!this.frame) this.frame = window.setTimeout(() => this.takeFresh(), 50);
  }

  private takeFresh(): void {
    this.frame = 0;
    const { events, waiting, loaded } = this.store.get();
    if (!loaded) return;
    const newest = waiting[0]?.seq ?? events[0]?.seq ?? 0;
    const news = this.fresh.filter((event) => event.seq > newest).reverse();
    this.fresh = [];
    if (!news.length) return;
    if (this.follows) this.show([...news, ...waiting, ...events], []);
    else this.show(events, [...news, ...waiting]);
  }

  private async ask(limit: number): Promise<BrokerEvent[]> {
    const { pool, key } = this.filter;
    const words = ['show', 'events', `limit=${limit}`];
    if (pool) words.push(`pool=${pool}`);
    try {
      const exactly = pool && key ? [`key=${key}`] : [];
      return (await command<{ events: BrokerEvent[] }>([...words, ...exactly])).events;
    } catch (error) {
      /* Not a key's whole name (any more): judge by the part. */
      const noKey = error instanceof Refusal && error.reason === 'no-such-key';
      if (!noKey) throw error;
      return (await command<{ events: BrokerEvent[] }>(words)).events;
    }
  }

  private async load(): Promise<void> {
    const limit = LIMITS[this.step];
    try {
      const asked = await this.ask(limit);
      const events = asked.filter((event) => this.matches(event)).reverse();
      const more = asked.length >= limit && this.step < LIMITS.length - 1;
      const newest = this.store.get().events[0]?.seq ?? 0;
      const news = this.follows ? 0 : events.filter((event) => event.seq > newest).length;
      const begins = !this.store.get().loaded;
      this.store.change({ loaded: true, older: more, trouble: null });
      if (begins) this.show(events, []);
      else this.show(events.slice(news), events.slice(0, news));
      this.takeFresh();
    } catch (error) {
      this.store.change({ trouble: messageOf(error) });
    }
  }
}
