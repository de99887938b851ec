/*
 * Times that move: a countdown, "5 min ago". All of them follow one ticker, which stands still
 * while the connection is lost: what can't be known is not counted on.
 */
import { useEffect, useState } from 'preact/hooks';
import { connection } from './stream';
import { useStore } from './store';
import { countdown, exact, parseTime, relative, serverNow } from './time';

const watchers = new Set<() => void>();
let ticker = 0;

function watchClock(watcher: () => void): () => void {
  watchers.add(watcher);
  if (!ticker)
    ticker = window.setInterval(() => {
      if (connection.get().live) for (const each of [...watchers]) each();
    }, 500);
  return () => {
    watchers.delete(watcher);
    if (watchers.size) return;
    window.clearInterval(ticker);
    ticker = 0;
  };
}

/* The text that `write` makes of the time now; drawn again only when it has become another. */
function useTicking(write: (now: number) => string): string {
  const text = write(serverNow());
  const [, draw] = useState('');
  useEffect(() => {
    draw(text);
    return watchClock(() => draw(write(serverNow())));
  });
  return text;
}

export function Ago({ time, prefix = '' }: { time: string | null; prefix?: string }) {
  const at = parseTime(time);
  const text = useTicking((now) => (at === null ? '' : relative(at, now)));
  if (at === null) return <span class="faint">–</span>;
  return (
    <time dateTime={time!} title={exact(at)}>
      {prefix}
      {text}
    </time>
  );
}

export function Countdown({ to }: { to: string }) {
  const at = parseTime(to) ?? 0;
  const { live } = useStore(connection);
  const text = useTicking((now) => countdown(at - now));
  return (
    <time class="countdown" dateTime={to} title={exact(at)}>
      {live ? text : '–:––'}
    </time>
  );
}
