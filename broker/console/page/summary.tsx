/*
 * A pool in a sentence: "using A, next B, 3 of 7 usable", or why there is nothing to use and when
 * there will be. And the guard's banner.
 */
import { Countdown } from './clock';
import { Icon } from './icons';
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

export function GuardBanner({ pool }: { pool: Pool }) {
  if (pool.guard !== 'holding') return null;
  return (
    <div class="banner guard" role="alert" data-banner="guard">
      <Icon name="shield" />
      <p>
        <b>The guard is holding.</b> So many keys seemed to fail at once that it may not be the
        keys: a network, a proxy, the vendor itself. Keys keep their status for about a minute, and
        workers are told to back off. Look at the vendor’s status page and your way out before you
        change keys.
      </p>
    </div>
  );
}
