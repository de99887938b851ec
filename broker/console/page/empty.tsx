/* What stands where there is nothing to show: the next step, or what is in the way. */
import type { ComponentChildren } from 'preact';
import { useStore } from './store';
import { connection } from './stream';

export function EmptyState({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="empty">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/* Nothing was loaded yet: it is on its way, or it can't be asked for. */
export function Trouble({ text }: { text: string | null }) {
  const { lost } = useStore(connection);
  if (!text && !lost)
    return (
      <main class="page">
        <p class="loading">Loading…</p>
      </main>
    );
  return (
    <main class="page">
      <EmptyState title={lost ? 'Not connected' : 'This can’t be shown'}>
        <p>{lost ? HELP[lost.who] : text}</p>
      </EmptyState>
    </main>
  );
}

const HELP = {
  console:
    'The console does not answer: is keybroker-console running? This page comes back by itself as soon as it does.',
  broker:
    'The broker does not answer: is keybrokerd running? Workers go on with what they have; this page comes back by itself as soon as the broker does.',
  refused: 'The broker does not let this console in. Nothing is wrong with the keys.',
};
