/* The page's frame: the bar at the top with the state of the connection, and the page under it. */
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { Announcer } from './announce';
import { EventsPage } from './events';
import { Icon } from './icons';
import { VIEWER } from './may';
import { PoolPage } from './pool';
import { PoolsPage } from './pools';
import { type Route, route } from './route';
import { enter, loadSession, session, signOut } from './session';
import { useStore } from './store';
import { connection, type Lost, startStream } from './stream';
import { clockTime } from './time';
import { Toasts } from './toast';

function Liveness() {
  const { live, lost } = useStore(connection);
  const word = live ? 'Live' : lost ? 'Not connected' : 'Connecting';
  const look = live ? 'live' : lost ? 'lost' : '';
  return (
    <span class={`liveness ${look}`} role="status" data-live={String(live)}>
      <span class="dot" aria-hidden="true" />
      {word}
    </span>
  );
}

function whose(lost: Lost): string {
  if (lost.who === 'refused') return `The broker refuses this console: ${lost.why}.`;
  return `The ${lost.who} does not answer.`;
}

/* What is on the page while nothing new comes in is old: say of when, and who keeps silent. */
function LostBanner() {
  const { lost, ever, since } = useStore(connection);
  if (!lost) return null;
  return (
    <div class="banner lost" role="alert" data-banner="lost">
      <Icon name="offline" />
      <p>
        <b>Not connected.</b> {whose(lost)}{' '}
        {ever && `What you see is of ${clockTime(since)} and may be outdated. `}
        Workers go on with their keys; this page comes back by itself.
      </p>
    </div>
  );
}

function Bar({ at }: { at: Route['page'] }) {
  const { access } = useStore(session);
  const here = (page: boolean) => (page ? 'page' : undefined);
  return (
    <header class="bar">
      <a class="skip" href="#/" onClick={skipToPage}>
        Skip to the page
      </a>
      <a class="brand" href="#/" aria-label="keybroker: all pools">
        <img src="/icon.svg" width="24" height="24" alt="" />
        <span>keybroker</span>
      </a>
      <nav aria-label="Pages">
        <a href="#/" aria-current={here(at !== 'events')}>
          Pools
        </a>
        <a href="#/events" aria-current={here(at === 'events')}>
          Events
        </a>
      </nav>
      <span class="bar-end">
        {access === 'viewer' && (
          <span class="mark" title={VIEWER}>
            viewer
          </span>
        )}
        <Liveness />
        <button type="button" class="button quiet" onClick={() => void signOut()}>
          Sign out
        </button>
      </span>
    </header>
  );
}

function Page({ at }: { at: Route }) {
  if (at.page === 'pool') return <PoolPage key={at.pool} name={at.pool} openKey={at.key} />;
  if (at.page === 'events') return <EventsPage filter={at} />;
  return <PoolsPage />;
}

function titleOf(at: Route): string {
  if (at.page === 'pool') return `${at.pool} · keybroker`;
  return at.page === 'events' ? 'Events · keybroker' : 'keybroker';
}

function App() {
  const at = useStore(route);
  const { live, ever } = useStore(connection);
  const where = at.page === 'pool' ? at.pool : at.page;
  useEffect(() => {
    document.title = titleOf(at);
  }, [at]);
  useEffect(() => window.scrollTo(0, 0), [where]);
  return (
    <>
      <Bar at={at.page} />
      <LostBanner />
      <div class={live || !ever ? 'content' : 'content is-stale'} tabIndex={-1}>
        <Page at={at} />
      </div>
      <Announcer />
      <Toasts />
    </>
  );
}

function skipToPage(event: Event): void {
  event.preventDefault();
  document.querySelector<HTMLElement>('.content')?.focus();
}

if (!enter()) {
  void loadSession();
  startStream();
  render(<App />, document.getElementById('app')!);
}
