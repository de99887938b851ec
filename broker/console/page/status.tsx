/* A status as an icon, a colour and a word, and what it means in a sentence. */
import { Countdown } from './clock';
import { Icon } from './icons';
import type { Key, Pool, Status } from './types';
import { count } from './words';

export const STATUS_MEANS: Record<Status, string> = {
  normal: 'May be handed out.',
  cooling: 'A rate limit was reported; it comes back by itself.',
  exceeded: 'Its quota or balance is used up.',
  error: 'The vendor refuses it.',
  disabled: 'An operator switched it off.',
  expired: 'Its time has passed.',
};

export function StatusMark({ status }: { status: Status }) {
  return (
    <span class={`status ${status}`} data-status={status} title={STATUS_MEANS[status]}>
      <Icon name={status} />
      <span>{status}</span>
    </span>
  );
}

/* Does the reason say more than the status by itself? */
export function tells(item: Key): boolean {
  return Boolean(item.reason) && item.reason !== item.status && item.status !== 'normal';
}

/* Word, countdown and reason in a row's cell. */
export function KeyStatus({ item }: { item: Key }) {
  return (
    <>
      <span class="line">
        <StatusMark status={item.status} />
        {item.recovers_at && (
          <span class="recovers">
            <span>back in</span>
            <Countdown to={item.recovers_at} />
          </span>
        )}
      </span>
      {tells(item) && (
        <span class="line faint cut" title={item.reason!}>
          {item.reason}
        </span>
      )}
    </>
  );
}

/* How many keys have which status; only those there are. */
export function StatusCounts({ pool }: { pool: Pool }) {
  const present = (Object.keys(STATUS_MEANS) as Status[]).filter((status) => pool.counts[status]);
  return (
    <ul class="counts" aria-label="Keys by status">
      {present.map((status) => (
        <li key={status} class={`status ${status}`} title={STATUS_MEANS[status]}>
          <Icon name={status} />
          <span>
            <b>{count(pool.counts[status])}</b> {status}
          </span>
        </li>
      ))}
    </ul>
  );
}
