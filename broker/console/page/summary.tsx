/*
 * A pool in a sentence: "using A, next B, 3 of 7 usable", or why there is nothing to use and when
 * there will be. And the guard's banner.
 */
import { Countdown } from './clock';
import { Icon } from './icons';
import { clockTime, parseTime } from './time';
import type { Pool } from './types';
import { count } from './words';

export function PoolSentence({ pool }: { pool: Pool }) {
  const usable = `${count(pool.usable)} of ${count(pool.total)} usable`;
  if (!pool.usable)
    return (
      <span class="sentence exhausted" data-sentence>
        <b>exhausted</b>
        {pool.recovers_at ? (
          <>
            , back in <Countdown to={pool.recovers_at} />
          </>
        ) : (
          ', no key comes back by itself'
        )}
      </span>
    );
  if (pool.strategy === 'spread')
    return (
      <span class="sentence" data-sentence>
        spread over the usable keys, {usable}
      </span>
    );
  return (
    <span class="sentence" data-sentence>
      {pool.current ? (
        <>
          using <b>{pool.current}</b>
        </>
      ) : (
        'using none'
      )}
      {pool.next && (
        <>
          , next <b>{pool.next}</b>
        </>
      )}
      , {usable}
    </span>
  );
}

/* "guard 50 %", and what it does: watching, or holding and until when. */
export function GuardWord({ pool }: { pool: Pool }) {
  const until = parseTime(pool.guard_until);
  const share = pool.guard_share ? `guard ${pool.guard_share} %` : 'guard';
  return (
    <span class={`guard-word ${pool.guard}`} title={GUARD_MEANS[pool.guard]}>
      <Icon name="shield" />
      {pool.guard === 'off' && 'guard off'}
      {pool.guard === 'on' && `${share}, watching`}
      {pool.guard === 'holding' &&
        `${share}, holding${until === null ? '' : ` until ${clockTime(until)}`}`}
    </span>
  );
}

const GUARD_MEANS: Record<Pool['guard'], string> = {
  off: 'Keys are benched whatever share of them seems to fail.',
  on: 'It holds keys back when more than this share of them seems to fail at once.',
  holding: 'What would bench more keys is held back.',
};

export function GuardBanner({ pool }: { pool: Pool }) {
  if (pool.guard !== 'holding') return null;
  const until = parseTime(pool.guard_until);
  return (
    <div class="banner guard" role="alert" data-banner="guard">
      <Icon name="shield" />
      <p>
        <b>The guard is holding{until !== null && ` until ${clockTime(until)}`}.</b> So many keys
        seemed to fail at once that it may not be the keys: a network, a proxy, the vendor itself.
        What would bench more of them is held back; workers go on with the keys that still answer,
        and back off when none is left. Look at the vendor’s status page and your way out before you
        change keys.
      </p>
    </div>
  );
}
