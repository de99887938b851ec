/*
 * Add key, Edit key and Vendor settings (which edit the pool's default key): one form. What was not
 * touched is not sent, so a secret that stays empty stays what it is. If somebody else changed the
 * same key meanwhile, the form says so and keeps what was typed.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { command, ifRevision, keyWord, Refusal } from './api';
import { Button } from './button';
import { ConfigFields, fieldNames, type Typed, typedPatch } from './config_fields';
import { Dialog, DialogFoot } from './dialog';
import { checkExpiry, type Expiry, ExpiryField, expiryOf, expiryWord, sameExpiry } from './expiry_field';
import { AreaField, TextField } from './fields';
import { useForm } from './form';
import { useMayChange } from './may';
import { type Setting, SettingsList, settingsOf, settingsPatch } from './settings_list';
import { exact, parseTime } from './time';
import { toast } from './toast';
import type { Changed, Key, KeyList, Pool, Vendor } from './types';
import { useVendor } from './vendors';

interface KeyDialogProps {
  pool: Pool;
  item: Key | null; /* null = a new key */
  title: string;
  onClose: () => void;
  onDone: () => void;
}

/* The broker names a key key<N>; find the first such name that is free, beginning at the end. */
async function freeName(pool: Pool): Promise<string> {
  for (let number = pool.total + 1; number < pool.total + 50; number++) {
    const name = `key${number}`;
    const found = await command<KeyList>(['show', 'keys', pool.name, `match=${name}`, 'limit=100']);
    if (found.keys.every((key) => key.name !== name)) return name;
  }
  return '';
}

interface Fields {
  name: string;
  account: string;
  weight: string;
  note: string;
  expiry: Expiry;
}

function fieldsOf(item: Key | null): Fields {
  const at = parseTime(item?.expires_at);
  return {
    name: item?.name ?? '',
    account: item?.account ?? '',
    weight: String(item?.weight ?? 1),
    note: item?.note ?? '',
    expiry: expiryOf(at),
  };
}

/* The words for what differs from `before`. */
function changedWords(fields: Fields, before: Fields): string[] {
  const words: string[] = [];
  for (const name of ['name', 'account', 'weight', 'note'] as const)
    if (fields[name].trim() !== before[name]) words.push(`${name}=${fields[name].trim()}`);
  if (!sameExpiry(fields.expiry, before.expiry))
    words.push(`expires=${expiryWord(fields.expiry)}`);
  return words;
}

/* Change the key unless somebody else did since it was shown; another key's change is no matter. */
async function setKey(
  pool: Pool,
  item: Key,
  revision: number,
  words: string[],
  patch: object,
): Promise<Changed> {
  const send = (at: number) => {
    const payload = Object.keys(patch).length ? patch : undefined;
    const config = payload ? ['config=merge'] : [];
    return command<Changed>(
      ['set', 'key', pool.name, keyWord(item), ...words, ...config, ...ifRevision(at)],
      payload,
    );
  };
  try {
    return await send(revision);
  } catch (error) {
    if (!(error instanceof Refusal) || !error.outdated) throw error;
    const [now, fresh] = await Promise.all([
      command<Pool>(['show', 'pool', pool.name]),
      command<Key>(['show', 'key', pool.name, keyWord(item)]),
    ]);
    if (fresh.updated_at !== item.updated_at) throw error;
    return send(now.revision);
  }
}

/* The broker's answer says how it understood an expiry. */
function understood(answer: Changed, words: string[]): string {
  const at = parseTime(answer.expires_at);
  if (!words.some((word) => word.startsWith('expires='))) return '';
  return at === null ? '' : ` It expires ${exact(at)}.`;
}

function KeyForm({
  pool,
  item,
  vendor,
  title,
  onClose,
  onDone,
}: KeyDialogProps & { vendor: Vendor }) {
  const form = useForm();
  const known = fieldNames(vendor);
  const config = item?.config ?? {};
  const before = useRef(fieldsOf(item)).current;
  const [fields, setFields] = useState(before);
  const [typed, setTyped] = useState<Typed>({});
  const [settings, setSettings] = useState<Setting[]>(() => settingsOf(config, known));
  const basis = useRef({ item, revision: pool.revision });
  const why = useMayChange();
  const change = (part: Partial<Fields>) => setFields({ ...fields, ...part });
  const dirty = () =>
    Object.keys(typed).length > 0 ||
    settings.some((setting) => setting.touched) ||
    changedWords(fields, before).length > (item ? 0 : 1);

  useEffect(() => {
    if (item) return;
    freeName(pool)
      .then((name) => setFields((now) => (now.name ? now : { ...now, name })))
      .catch(() => undefined);
  }, []);

  const patch = () => ({
    ...typedPatch(vendor, typed, config),
    ...settingsPatch(settings, config, known),
  });

  const check = () => {
    checkExpiry(fields.expiry, form);
    const nameless = settings.some((setting) => !setting.name.trim() && setting.value.trim());
    if (nameless) form.reject('', 'Every setting needs a name.');
    const names = settings.map((setting) => setting.name.trim()).filter(Boolean);
    const twice = names.find((name, at) => names.indexOf(name) !== at || known.includes(name));
    if (twice) form.reject('', `The setting “${twice}” is there already.`);
    if (!item && !typed.api_key?.trim()) form.reject('api_key', 'A key needs its secret.');
  };

  const add = async () => {
    const words = changedWords({ ...fields }, { ...before, name: '' });
    const answer = await command<Changed>(['add', 'key', pool.name, ...words], patch());
    const name = fields.name.trim() || 'the key';
    toast(`Added ${name} at the end of ${pool.name}.${understood(answer, words)}`);
  };

  const edit = async () => {
    const { item: shown, revision } = basis.current;
    const words = changedWords(fields, before);
    const config = patch();
    if (!words.length && !Object.keys(config).length) return;
    let answer: Changed;
    try {
      answer = await setKey(pool, shown!, revision, words, config);
    } catch (error) {
      if (!(error instanceof Refusal) || !error.outdated) throw error;
      const [now, fresh] = await Promise.all([
        command<Pool>(['show', 'pool', pool.name]),
        command<Key>(['show', 'key', pool.name, keyWord(shown!)]),
      ]);
      basis.current = { item: fresh, revision: now.revision };
      throw new Refusal(
        409,
        'changed-meanwhile',
        `Somebody else changed ${fresh.name} while this was open. What you entered is still here: ` +
          'save again to apply it on top of the other change, or close to drop it.',
        '',
      );
    }
    toast(`Saved ${fields.name.trim()}.${understood(answer, words)}`);
  };

  const submit = (event: Event) =>
    form.submit(event, async () => {
      check();
      await (item ? edit() : add());
      onDone();
    });

  return (
    <Dialog title={title} unsaved={dirty} onClose={onClose}>
      <form onSubmit={submit} novalidate>
        <div class="dialog-body">
          {form.general && (
            <p class="trouble block" role="alert">
              {form.general}
            </p>
          )}
          <TextField
            label="Name"
            name="name"
            value={fields.name}
            error={form.errors.name}
            onInput={(name) => change({ name })}
          />
          <ConfigFields
            vendor={vendor}
            poolUrl={pool.base_url}
            config={config}
            typed={typed}
            onType={setTyped}
            errors={form.errors}
            autofocus
          />
          <ExpiryField
            value={fields.expiry}
            error={form.errors.expires}
            onChange={(expiry) => change({ expiry })}
          />
          <div class="columns">
            <TextField
              label="Account"
              name="account"
              value={fields.account}
              error={form.errors.account}
              hint="Keys with one label share their vendor account’s limits."
              onInput={(account) => change({ account })}
            />
            <TextField
              label="Weight"
              name="weight"
              type="number"
              min={1}
              max={1000}
              value={fields.weight}
              error={form.errors.weight}
              hint={
                pool.strategy === 'spread'
                  ? 'Its share of requests.'
                  : 'Used by the strategy spread.'
              }
              onInput={(weight) => change({ weight })}
            />
          </div>
          <AreaField
            label="Note"
            name="note"
            rows={2}
            value={fields.note}
            error={form.errors.note}
            onInput={(note) => change({ note })}
          />
          <SettingsList settings={settings} onChange={setSettings} errors={form.errors} />
        </div>
        <DialogFoot>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" why={why} disabled={form.busy}>
            {item ? 'Save' : 'Add key'}
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}

export function KeyDialog(props: KeyDialogProps) {
  const { value: vendor, trouble } = useVendor(props.pool.vendor);
  if (vendor) return <KeyForm {...props} vendor={vendor} />;
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <div class="dialog-body">
        {trouble ? <p class="trouble">{trouble}</p> : <p class="faint">Loading…</p>}
      </div>
    </Dialog>
  );
}
