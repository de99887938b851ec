/* The key's drawer: everything about one key: why it has its status, who changed what and when. */
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { command } from './api';
import { Button } from './button';
import { Ago, Countdown } from './clock';
import { Dialog } from './dialog';
import { EventLine } from './event_line';
import { whyNotDelete, whyNotDisable, whyNotEdit, whyNotEnable } from './may';
import { useResource } from './resource';
import { eventsAddress } from './route';
import { STATUS_MEANS, StatusMark, tells } from './status';
import { exact, parseTime } from './time';
import type { BrokerEvent, Key, Pool } from './types';

interface KeyDrawerProps {
  pool: Pool;
  id: number;
  mayChange: string | null;
  onClose: () => void;
  onEdit: (item: Key) => void;
  onDelete: (item: Key) => void;
  onEnable: (item: Key) => void;
  onDisable: (item: Key) => void;
  onGone: () => void;
}

interface Whole {
  item: Key;
  events: BrokerEvent[];
}

const EVENTS = 50;

/* How it leaves its status, in a sentence. */
function WayBack({ item, pool }: { item: Key; pool: Pool }) {
  if (item.recovers_at)
    return (
      <p>
        Comes back by itself in <Countdown to={item.recovers_at} />, or at once when it is enabled.
      </p>
    );
  const ways: Partial<Record<Key['status'], string>> = {
    exceeded: `The pool’s recovery of exceeded keys is “${pool.exceeded_recovery}”: enable it when there is balance again.`,
    error: `Give it a new secret, or enable it when the vendor takes it again. The pool’s recovery of keys in error is “${pool.error_recovery}”.`,
    disabled: 'Stays so until somebody enables it.',
    expired: item.default
      ? 'Edit it and give it a later expiry to bring it back.'
      : 'An expired key does not come back: delete it, and add its successor.',
  };
  const way = ways[item.status];
  return way ? <p>{way}</p> : null;
}

function Why({ item, pool }: { item: Key; pool: Pool }) {
  const failure = item.last_failure;
  return (
    <section class="why" aria-label="Why it has its status">
      <p class="line">
        <StatusMark status={item.status} />
        {item.status_since && (
          <span class="faint">
            since <Time time={item.status_since} />
          </span>
        )}
      </p>
      <p>{tells(item) ? sentence(item.reason!) : STATUS_MEANS[item.status]}</p>
      <WayBack item={item} pool={pool} />
      {failure && (
        <p class="faint">
          Last failure <Ago time={failure.at} />: {failure.class}
          {failure.http_status && `, HTTP ${failure.http_status}`}
          {failure.vendor_code && `, ${failure.vendor_code}`}
        </p>
      )}
    </section>
  );
}

const sentence = (text: string): string => `${text[0].toUpperCase()}${text.slice(1)}.`;

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function Time({ time }: { time: string | null }) {
  const at = parseTime(time);
  if (at === null) return <>never</>;
  return (
    <>
      {exact(at)}{' '}
      <span class="faint">
        (<Ago time={time} />)
      </span>
    </>
  );
}

function Facts({ item, pool }: { item: Key; pool: Pool }) {
  const known = ['api_key', 'base_url'];
  const others = Object.entries(item.config).filter(([name]) => !known.includes(name));
  return (
    <dl class="facts">
      <Fact name="Priority">
        {item.priority} of {pool.total}
      </Fact>
      <Fact name="Key">
        <code>{item.masked ?? '–'}</code>
      </Fact>
      <Fact name="Base URL">{item.base_url ?? '–'}</Fact>
      {others.map(([name, value]) => (
        <Fact key={name} name={name}>
          <code>{typeof value === 'string' ? value : JSON.stringify(value)}</code>
        </Fact>
      ))}
      <Fact name="Account">{item.account ?? 'its own'}</Fact>
      <Fact name="Weight">{item.weight}</Fact>
      {item.note && <Fact name="Note">{item.note}</Fact>}
      <Fact name="Expires">
        <Time time={item.expires_at} />
      </Fact>
      <Fact name="Created">
        <Time time={item.created_at} />
      </Fact>
      <Fact name="Changed">
        <Time time={item.updated_at} />
      </Fact>
      <Fact name="Id">#{item.id}</Fact>
    </dl>
  );
}

const COUNTED: Record<string, string> = {
  success: 'good again',
  rate: 'rate limit',
  quota: 'quota used up',
  invalid: 'refused',
  permission: 'not permitted',
  overload: 'overload',
  network: 'network',
  request: 'bad request',
};

function Counters({ item }: { item: Key }) {
  return (
    <dl class="counters">
      {Object.entries(COUNTED).map(([name, title]) => (
        <div key={name} class={item.counters[name] ? '' : 'zero'}>
          <dt>{title}</dt>
          <dd>{item.counters[name] ?? 0}</dd>
        </div>
      ))}
    </dl>
  );
}

export function KeyDrawer(props: KeyDrawerProps) {
  const { pool, id, mayChange, onClose } = props;
  const word = `#${id}`;
  const whole = useResource<Whole>(
    `${pool.name} ${id}`,
    async () => {
      const [item, answer] = await Promise.all([
        command<Key>(['show', 'key', pool.name, word]),
        command<{ events: BrokerEvent[] }>([
          'show',
          'events',
          `pool=${pool.name}`,
          `key=${word}`,
          `limit=${EVENTS}`,
        ]),
      ]);
      return { item, events: answer.events.reverse() };
    },
    (event) => event.pool === pool.name,
  );
  useEffect(() => {
    if (whole.missing) props.onGone();
  }, [whole.missing]);
  if (!whole.value) {
    if (!whole.trouble) return null;
    return (
      <Dialog title="Key" kind="drawer" onClose={onClose}>
        <div class="dialog-body">
          <p class="trouble">{whole.trouble}</p>
        </div>
      </Dialog>
    );
  }
  const { item, events } = whole.value;
  const off = item.status !== 'normal' && item.status !== 'cooling';
  return (
    <Dialog title={item.name} kind="drawer" onClose={onClose}>
      <div class="dialog-body">
        <Why item={item} pool={pool} />
        <div class="buttons">
          <Button why={mayChange ?? whyNotEdit(item)} onClick={() => props.onEdit(item)}>
            Edit
          </Button>
          <Button
            kind={off ? 'primary' : undefined}
            why={mayChange ?? whyNotEnable(item)}
            onClick={() => props.onEnable(item)}
          >
            Enable
          </Button>
          <Button why={mayChange ?? whyNotDisable(item)} onClick={() => props.onDisable(item)}>
            Disable
          </Button>
          <Button
            kind="danger"
            why={mayChange ?? whyNotDelete(item)}
            onClick={() => props.onDelete(item)}
          >
            Delete…
          </Button>
        </div>
        <h3>What it is</h3>
        <Facts item={item} pool={pool} />
        <h3>What workers reported</h3>
        <Counters item={item} />
        <h3>What happened</h3>
        {events.length ? (
          <ol class="history">
            {events.map((event) => (
              <li key={event.seq}>
                <EventLine event={event} short />
              </li>
            ))}
          </ol>
        ) : (
          <p class="faint">Nothing that is still kept.</p>
        )}
        <p>
          <a href={eventsAddress({ pool: pool.name, key: item.name })}>All events of {item.name}</a>
        </p>
      </div>
    </Dialog>
  );
}
