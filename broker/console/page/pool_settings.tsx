/* Pool settings: strategy, recoveries, guard, group; and deleting the pool, which asks for its name. */
import { useRef, useState } from 'preact/hooks';
import { command, ifRevision, Refusal } from './api';
import { Button } from './button';
import { Dialog, DialogFoot } from './dialog';
import { SelectField, TextField } from './fields';
import { useForm } from './form';
import { useMayChange } from './may';
import { STRATEGIES } from './pool_dialog';
import { go } from './route';
import { toast } from './toast';
import type { Changed, Pool } from './types';

interface PoolSettingsProps {
  pool: Pool;
  onClose: () => void;
  onDone: () => void;
}

const WHEN = 'never, a duration (90s, 15m, 6h, 2d), daily@00:00+01:00 or monthly@1';

export function PoolSettings({ pool, onClose, onDone }: PoolSettingsProps) {
  const form = useForm();
  const why = useMayChange();
  const [deletes, setDeletes] = useState(false);
  const before = useRef({
    strategy: pool.strategy as string,
    exceeded_recovery: pool.exceeded_recovery,
    error_recovery: pool.error_recovery,
    base_url: pool.base_url ?? '',
    group: pool.group ?? '',
    guard: pool.guard_share ? `${pool.guard_share}%` : 'off',
  }).current;
  const revision = useRef(pool.revision);
  const [values, setValues] = useState(before);
  const text = (name: keyof typeof values) => ({
    name,
    value: values[name],
    error: form.errors[name],
    onInput: (value: string) => setValues({ ...values, [name]: value }),
  });

  const save = async () => {
    const words = (Object.keys(values) as (keyof typeof values)[])
      .filter((name) => values[name].trim() !== before[name])
      .map((name) => {
        const word = name.endsWith('_recovery') ? name.replace('_', '-') : name;
        return `${word}=${values[name].trim()}`;
      });
    try {
      if (words.length)
        await command<Changed>([
          'set',
          'pool',
          pool.name,
          ...words,
          ...ifRevision(revision.current),
        ]);
    } catch (error) {
      if (!(error instanceof Refusal) || !error.outdated) throw error;
      revision.current = (await command<Pool>(['show', 'pool', pool.name])).revision;
      form.reject(
        '',
        'Somebody else changed the pool while this was open. Save again to apply yours.',
      );
    }
    toast(`Saved the settings of ${pool.name}.`);
    onDone();
  };

  if (deletes) return <DeletePool pool={pool} onClose={onClose} />;
  return (
    <Dialog title={`Settings of ${pool.name}`} onClose={onClose}>
      <form onSubmit={(event) => form.submit(event, save)} novalidate>
        <div class="dialog-body">
          {form.general && (
            <p class="trouble block" role="alert">
              {form.general}
            </p>
          )}
          <SelectField label="Strategy" autofocus choices={STRATEGIES} {...text('strategy')} />
          <TextField label="Exceeded keys recover" hint={WHEN} {...text('exceeded_recovery')} />
          <TextField
            label="Keys in error recover"
            hint="never, or a duration"
            {...text('error_recovery')}
          />
          <TextField
            label="Guard"
            hint="on, off, or a share such as 30%: when more of the accounts seem to fail at once, the rest is kept until a key answers well, because it may not be the keys."
            {...text('guard')}
          />
          <TextField
            label="Base URL"
            hint="For keys that have none of their own. Empty: the vendor’s."
            {...text('base_url')}
          />
          <TextField
            label="Group"
            hint="Members of this Unix group may use the pool."
            {...text('group')}
          />
          <div class="danger-zone">
            <Button kind="danger" why={why} onClick={() => setDeletes(true)}>
              Delete pool…
            </Button>
          </div>
        </div>
        <DialogFoot>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" why={why} disabled={form.busy}>
            Save
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}

function DeletePool({ pool, onClose }: { pool: Pool; onClose: () => void }) {
  const form = useForm();
  const why = useMayChange();
  const [confirm, setConfirm] = useState('');
  const remove = async () => {
    await command(['delete', 'pool', pool.name, `confirm=${confirm.trim()}`]);
    toast(`Deleted pool ${pool.name}.`);
    onClose();
    go('#/');
  };
  return (
    <Dialog title={`Delete pool ${pool.name}`} kind="small" onClose={onClose}>
      <form onSubmit={(event) => form.submit(event, remove)} novalidate>
        <div class="dialog-body">
          {form.general && (
            <p class="trouble block" role="alert">
              {form.general}
            </p>
          )}
          <p>
            Its {pool.total === 1 ? 'key goes' : `${pool.total} keys go`} for good, and workers that
            use the pool are left without.
          </p>
          <TextField
            label={`Type ${pool.name} to confirm`}
            name="confirm"
            value={confirm}
            error={form.errors.confirm}
            autofocus
            onInput={setConfirm}
          />
        </div>
        <DialogFoot>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            kind="danger"
            type="submit"
            why={why ?? (confirm.trim() === pool.name ? null : 'Type the pool’s name first.')}
            disabled={form.busy}
          >
            Delete pool
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
