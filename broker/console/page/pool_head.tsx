/* The head of a pool's page: name, vendor, the sentence, counts, and what can be added or set. */
import { command, keyWord, messageOf } from './api';
import { Button } from './button';
import { Ago } from './clock';
import { Icon } from './icons';
import { whyNotEdit } from './may';
import { Menu } from './menu';
import { eventsAddress } from './route';
import { StatusCounts } from './status';
import { GuardBanner, GuardWord, PoolSentence } from './summary';
import { troubleToast } from './toast';
import type { Key, Pool } from './types';
import { useVendors } from './vendors';

interface PoolHeadProps {
  pool: Pool;
  keys: Key[];
  mayChange: string | null;
  onAdd: () => void;
  onPaste: () => void;
  onSettings: () => void;
  onVendor: (item: Key) => void;
}

export function vendorTitle(
  vendors: { name: string; title: string }[] | null,
  name: string,
): string {
  return vendors?.find((vendor) => vendor.name === name)?.title ?? name;
}

export function PoolHead(props: PoolHeadProps) {
  const { pool, keys, mayChange } = props;
  const vendors = useVendors();
  const editDefault = async () => {
    try {
      const known = keys.find((key) => key.default);
      const word = known ? keyWord(known) : (pool.default ?? '');
      const item = await command<Key>(['show', 'key', pool.name, word]);
      const why = whyNotEdit(item);
      if (why) troubleToast(why);
      else props.onVendor(item);
    } catch (error) {
      troubleToast(messageOf(error));
    }
  };
  return (
    <>
      <header class="page-head">
        <div class="title">
          <a class="back" href="#/" aria-label="All pools">
            <Icon name="back" />
          </a>
          <h1>{pool.name}</h1>
          <span class="faint">
            {vendorTitle(vendors.value, pool.vendor)} · {pool.strategy}
          </span>
        </div>
        <div class="buttons">
          <Button kind="primary" icon="plus" why={mayChange} onClick={props.onAdd}>
            Add key
          </Button>
          <Button why={mayChange} onClick={props.onPaste}>
            Paste many
          </Button>
          <Button class="wide-only" why={mayChange} onClick={() => void editDefault()}>
            Vendor settings
          </Button>
          <Menu
            label="More about this pool"
            items={() => [
              { label: 'Vendor settings…', why: mayChange, run: () => void editDefault() },
              { label: 'Pool settings…', why: mayChange, run: props.onSettings },
              {
                label: 'Events of this pool',
                run: () => (location.hash = eventsAddress({ pool: pool.name })),
              },
            ]}
          />
        </div>
        <p class="headline" role="status">
          <PoolSentence pool={pool} />
        </p>
        <div class="head-facts">
          <StatusCounts pool={pool} />
          <GuardWord pool={pool} />
          {pool.last_failover && (
            <span class="faint">
              last failover <Ago time={pool.last_failover} />
            </span>
          )}
        </div>
      </header>
      <GuardBanner pool={pool} />
    </>
  );
}
