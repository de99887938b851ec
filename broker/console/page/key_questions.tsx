/* Small dialogs about keys: delete (asks, naming them) and move to a position. */
import { useRef, useState } from 'preact/hooks';
import { Button } from './button';
import { Confirm, Dialog, DialogFoot } from './dialog';
import { TextField } from './fields';
import { useForm } from './form';
import { useMayChange } from './may';
import { moveKey } from './order';
import type { Roster } from './roster';
import { deleteKeys } from './switching';
import type { Key } from './types';

const NAMED = 8;

export function DeleteKeys({
  roster,
  keys,
  onClose,
  onDone,
}: {
  roster: Roster;
  keys: Key[];
  onClose: () => void;
  onDone: () => void;
}) {
  const why = useMayChange();
  const [trouble, setTrouble] = useState('');
  const [busy, setBusy] = useState(false);
  const revision = useRef(roster.store.get().list?.revision);
  const one = keys.length === 1;
  const remove = async () => {
    setBusy(true);
    const refused = await deleteKeys(roster, keys, revision.current);
    setBusy(false);
    if (!refused) return onDone();
    await roster.load();
    revision.current = roster.store.get().list?.revision;
    setTrouble(`${refused} Look again before you delete.`);
  };
  const current = keys.find((key) => key.current);
  return (
    <Confirm
      title={one ? `Delete ${keys[0].name}?` : `Delete ${keys.length} keys?`}
      verb={one ? `Delete ${keys[0].name}` : `Delete ${keys.length} keys`}
      trouble={trouble}
      busy={busy}
      why={why}
      onConfirm={() => void remove()}
      onClose={onClose}
    >
      {!one && (
        <ul class="names">
          {keys.slice(0, NAMED).map((key) => (
            <li key={key.id}>{key.name}</li>
          ))}
          {keys.length > NAMED && <li>and {keys.length - NAMED} more</li>}
        </ul>
      )}
      <p>
        {one ? 'The key and its history of counters go' : 'They and their counters go'} for good;
        the vendor is not told. This can’t be undone.
        {current && ` Workers use ${current.name} now and go on with the next one.`}
      </p>
    </Confirm>
  );
}

export function PositionDialog({
  roster,
  item,
  index,
  total,
  onClose,
}: {
  roster: Roster;
  item: Key;
  index: number;
  total: number;
  onClose: () => void;
}) {
  const form = useForm();
  const [place, setPlace] = useState(String(index + 1));
  const move = async () => {
    const to = Number(place);
    if (!Number.isInteger(to) || to < 1 || to > total)
      form.reject('position', `A position from 1 to ${total}.`);
    onClose();
    if (to - 1 !== index) await moveKey(roster, item, index, to - 1);
  };
  return (
    <Dialog title={`Move ${item.name}`} kind="small" onClose={onClose}>
      <form onSubmit={(event) => form.submit(event, move)} novalidate>
        <div class="dialog-body">
          <TextField
            label={`Position, 1 to ${total}`}
            name="position"
            type="number"
            min={1}
            max={total}
            value={place}
            error={form.errors.position}
            autofocus
            onInput={setPlace}
          />
        </div>
        <DialogFoot>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit">
            Move
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}
