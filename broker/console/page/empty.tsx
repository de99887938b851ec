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

/* Nothing was loaded yet: it is on its way, or the broker can't be asked. */
export function Trouble({ text }: { text: string | null }) {
  const { live, ever } = useStore(connection);
  if (!text && (live || !ever))
    return (
      <main class="page">
        <p class="loading">Loading…</p>
      </main>
    );
  return (
    <main class="page">
      <EmptyState title={live ? 'This can’t be shown' : 'Not connected to the broker'}>
        {live ? (
          <p>{text}</p>
        ) : (
          <p>
            Is <code>keybrokerd</code> running? Workers go on with what they have; this page comes
            back by itself as soon as the broker does.
          </p>
        )}
      </EmptyState>
    </main>
  );
}
