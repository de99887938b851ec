/* The pools' page: every pool with what it uses, what is next and how many of its keys are usable. */
import { useState } from 'preact/hooks';
import { command } from './api';
import { Button } from './button';
import { Ago } from './clock';
import { EmptyState, Trouble } from './empty';
import { useMayChange } from './may';
import { PoolDialog } from './pool_dialog';
import { vendorTitle } from './pool_head';
import { useResource } from './resource';
import { poolAddress } from './route';
import { StatusCounts } from './status';
import { GuardWord, PoolSentence } from './summary';
import type { Pool, Vendor } from './types';
import { useVendors } from './vendors';
import { plural } from './words';

/* Usable of all as a bar: seen at a glance, said in the sentence. */
function UsableBar({ pool }: { pool: Pool }) {
  const share = pool.total ? (100 * pool.usable) / pool.total : 0;
  return (
    <span class={`usable-bar ${pool.usable ? '' : 'none'}`} aria-hidden="true">
      <span style={{ width: `${share}%` }} />
    </span>
  );
}

function PoolCard({ pool, vendors }: { pool: Pool; vendors: Vendor[] | null }) {
  return (
    <li class={`card ${pool.usable ? '' : 'is-exhausted'}`} data-pool={pool.name}>
      <header>
        <h2>
          <a href={poolAddress(pool.name)}>{pool.name}</a>
        </h2>
        <span class="faint">
          {vendorTitle(vendors, pool.vendor)} · {pool.strategy}
        </span>
      </header>
      <p>
        <PoolSentence pool={pool} />
      </p>
      <UsableBar pool={pool} />
      <StatusCounts pool={pool} />
      <footer>
        <GuardWord pool={pool} />
        <span class="faint">
          {pool.last_failover ? (
            <>
              failover <Ago time={pool.last_failover} />
            </>
          ) : (
            'no failover yet'
          )}
        </span>
      </footer>
    </li>
  );
}

export function PoolsPage() {
  const pools = useResource<{ pools: Pool[] }>(
    'pools',
    () => command(['show', 'pools']),
    () => true,
  );
  const vendors = useVendors();
  const why = useMayChange();
  const [adds, setAdds] = useState(false);
  const list = pools.value?.pools;
  if (!list) return <Trouble text={pools.trouble} />;
  const add = (
    <Button kind="primary" icon="plus" why={why} onClick={() => setAdds(true)}>
      Add pool
    </Button>
  );
  return (
    <main class="page" data-page="pools">
      <header class="page-head">
        <div class="title">
          <h1>Pools</h1>
          {list.length > 0 && <span class="faint">{plural(list.length, 'pool')}</span>}
        </div>
        {list.length > 0 && <div class="buttons">{add}</div>}
      </header>
      {list.length ? (
        <ul class="cards">
          {list.map((pool) => (
            <PoolCard key={pool.name} pool={pool} vendors={vendors.value} />
          ))}
        </ul>
      ) : (
        <EmptyState title="No pools yet">
          <p>
            A pool holds the keys of one vendor. Workers open it by its name and always get a key
            that works; when one fails, they go on with the next within microseconds.
          </p>
          <p>Begin with one: choose the vendor and give it the first key.</p>
          {add}
        </EmptyState>
      )}
      {adds && <PoolDialog taken={list.map((pool) => pool.name)} onClose={() => setAdds(false)} />}
    </main>
  );
}
