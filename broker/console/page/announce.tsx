/* What a screen reader is told: one polite and one urgent live region for the whole page. */
import { Store, useStore } from './store';

const polite = new Store({ text: '' });
const urgent = new Store({ text: '' });

export function announce(text: string): void {
  polite.set({ text });
}

export function announceNow(text: string): void {
  urgent.set({ text });
}

export function Announcer() {
  return (
    <>
      <div class="unseen" role="status" aria-live="polite" data-announcer="polite">
        {useStore(polite).text}
      </div>
      <div class="unseen" aria-live="assertive" data-announcer="urgent">
        {useStore(urgent).text}
      </div>
    </>
  );
}
