/* Add pool: its vendor, its name, and the fields of its default key, which every pool has. */
import { useEffect, useState } from 'preact/hooks';
import { command } from './api';
import { Button } from './button';
import { ConfigFields, type Typed, typedPatch } from './config_fields';
import { Dialog, DialogFoot } from './dialog';
import { SelectField, TextField } from './fields';
import { useForm } from './form';
import { useMayChange } from './may';
import { go, poolAddress } from './route';
import { toast } from './toast';
import type { Changed } from './types';
import { useVendor, useVendors } from './vendors';

const STRATEGIES = [
  { value: 'priority', label: 'priority: the first usable key' },
  { value: 'spread', label: 'spread: all usable keys, by weight' },
];

/* The vendor's name, or with a number behind it where that is taken. */
function freePoolName(vendor: string, taken: string[]): string {
  for (let number = 1; ; number++) {
    const name = number === 1 ? vendor : `${vendor}-${number}`;
    if (!taken.includes(name)) return name;
  }
}

interface PoolDialogProps {
  taken: string[];
  onClose: () => void;
}

export function PoolDialog({ taken, onClose }: PoolDialogProps) {
  const form = useForm();
  const why = useMayChange();
  const vendors = useVendors();
  const [vendorName, setVendorName] = useState('');
  const vendor = useVendor(vendorName);
  const [name, setName] = useState<string | null>(null); /* null = not touched */
  const [group, setGroup] = useState('');
  const [strategy, setStrategy] = useState('priority');
  const [typed, setTyped] = useState<Typed>({});
  const shownName = name ?? (vendorName ? freePoolName(vendorName, taken) : '');

  useEffect(() => {
    if (!vendorName && vendors.value?.length) setVendorName(vendors.value[0].name);
  }, [vendors.value]);

  const add = async () => {
    if (!vendor.value) return;
    if (!shownName.trim()) form.reject('name', 'A pool needs a name.');
    if (!typed.api_key?.trim()) form.reject('api_key', 'The default key needs its secret.');
    const words = ['add', 'pool', shownName.trim(), `vendor=${vendorName}`, `strategy=${strategy}`];
    if (group.trim()) words.push(`group=${group.trim()}`);
    await command<Changed>(words, typedPatch(vendor.value, typed, {}));
    toast(`Added pool ${shownName.trim()}.`);
    onClose();
    go(poolAddress(shownName.trim()));
  };

  return (
    <Dialog title="Add pool" unsaved={() => Object.values(typed).some(Boolean)} onClose={onClose}>
      <form onSubmit={(event) => form.submit(event, add)} novalidate>
        <div class="dialog-body">
          {(form.general || vendors.trouble || vendor.trouble) && (
            <p class="trouble block" role="alert">
              {form.general || vendors.trouble || vendor.trouble}
            </p>
          )}
          <SelectField
            label="Vendor"
            name="vendor"
            value={vendorName}
            autofocus
            choices={(vendors.value ?? []).map((each) => ({ value: each.name, label: each.title }))}
            error={form.errors.vendor}
            onInput={setVendorName}
          />
          <TextField
            label="Pool name"
            name="name"
            value={shownName}
            error={form.errors.name}
            hint="Workers open the pool by this name: lower case, digits, dot, dash."
            onInput={setName}
          />
          <h3>Its default key</h3>
          {vendor.value && (
            <ConfigFields
              vendor={vendor.value}
              poolUrl={null}
              config={{}}
              typed={typed}
              onType={setTyped}
              errors={form.errors}
            />
          )}
          <h3>How it is used</h3>
          <SelectField
            label="Strategy"
            name="strategy"
            value={strategy}
            choices={STRATEGIES}
            error={form.errors.strategy}
            onInput={setStrategy}
          />
          <TextField
            label="Group"
            name="group"
            value={group}
            error={form.errors.group}
            hint="Members of this Unix group may use the pool’s keys. Empty: the broker’s own group."
            onInput={setGroup}
          />
        </div>
        <DialogFoot>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" why={why} disabled={form.busy || !vendor.value}>
            Add pool
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}

export { STRATEGIES };
