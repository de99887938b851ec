/*
 * Paste many: one key per line, a preview of what the import would do (the broker's own dry run),
 * then one import, all or nothing.
 */
import { useMemo, useState } from 'preact/hooks';
import { command, ifRevision, Refusal } from './api';
import { Button } from './button';
import { type Typed } from './config_fields';
import { Dialog, DialogFoot } from './dialog';
import { checkExpiry, type Expiry, ExpiryField, expiryOf, expiryWord } from './expiry_field';
import { AreaField, TextField } from './fields';
import { useForm } from './form';
import { useMayChange } from './may';
import { firstRefused, type Line, readLines } from './paste_lines';
import { toast } from './toast';
import type { Config, Imported, Key, Pool, Vendor } from './types';
import { useVendor, useVendors } from './vendors';
import { plural } from './words';

/* The same as the broker's masks: enough to recognise a key by, where enough stays hidden. */
function masked(secret: string): string {
  return secret.length >= 16 ? `…${secret.slice(-4)}` : '…';
}

/* What the broker calls what one line brings; the rest is for all of them. */
const OF_A_LINE = ['keys', 'api_key', 'name', 'NAME', 'config'];

interface Preview {
  document: object;
  rows: { change: string; secret: string }[];
  others: string[];
  base: number;
}

function pairUp(changes: string[], lines: Line[]): Pick<Preview, 'rows' | 'others'> {
  const added = changes.filter((change) => change.startsWith('+ '));
  const named = new Map(lines.filter((line) => line.name).map((line) => [line.name, line]));
  const nameless = lines.filter((line) => !line.name);
  const rows = added.map((change) => {
    const name = change.slice(2);
    const line = named.get(name) ?? nameless.shift();
    return { change: name, secret: line ? masked(line.secret) : '' };
  });
  return { rows, others: changes.filter((change) => !change.startsWith('+ ')) };
}

interface PasteDialogProps {
  pool: Pool;
  defaultKey: Key | null;
  onClose: () => void;
  onDone: () => void;
}

/* What every key needs besides its secret; prefilled with what the default key has. */
function neededFields(vendor: Vendor, pool: Pool) {
  return (vendor.fields ?? []).filter(
    (field) => field.required && !field.secret && !(field.name === 'base_url' && pool.base_url),
  );
}

function PasteForm({
  pool,
  defaultKey,
  vendor,
  vendors,
  onClose,
  onDone,
}: PasteDialogProps & { vendor: Vendor; vendors: Vendor[] }) {
  const form = useForm();
  const why = useMayChange();
  const [text, setText] = useState('');
  const [account, setAccount] = useState('');
  const [expiry, setExpiry] = useState<Expiry>(() => expiryOf(null));
  const needed = neededFields(vendor, pool);
  const [shared, setShared] = useState<Typed>(() =>
    Object.fromEntries(
      needed.map((field) => [field.name, String(defaultKey?.config[field.name] ?? '')]),
    ),
  );
  const [preview, setPreview] = useState<Preview | null>(null);
  const read = useMemo(() => readLines(text, vendor, vendors), [text]);

  const words = (more: string[]) => ['import', pool.name, 'mode=merge', ...more];

  const documentOf = (lines: Line[]) => {
    const common: Config = Object.fromEntries(
      Object.entries(shared).filter(([, value]) => value.trim()),
    );
    const more = {
      ...(account.trim() ? { account: account.trim() } : {}),
      ...(expiry.when === 'never' ? {} : { expires_at: expiryWord(expiry) }),
    };
    const keys = lines.map(({ name, secret }) => ({
      ...(name ? { name } : {}),
      ...more,
      config: { ...common, api_key: secret },
    }));
    return { keys };
  };

  const dryRun = (lines: Line[]) => command<Imported>(words(['dry-run']), documentOf(lines));

  /* The broker's sentence, with the number of the line that it is about. */
  const atItsLine = async (error: unknown): Promise<never> => {
    if (!(error instanceof Refusal) || !OF_A_LINE.includes(error.field)) throw error;
    const { number } = await firstRefused(read.lines, (lines) =>
      dryRun(lines).then(
        () => false,
        (other) => {
          if (other instanceof Refusal && other.reason === error.reason) return true;
          throw other;
        },
      ),
    );
    throw new Refusal(error.code, error.reason, `Line ${number}: ${error.message}.`, 'lines');
  };

  const look = async () => {
    if (read.trouble) form.reject('lines', read.trouble);
    if (!read.lines.length) form.reject('lines', 'Paste at least one key.');
    checkExpiry(expiry, form);
    const now = await command<Pool>(['show', 'pool', pool.name]);
    const answer = await dryRun(read.lines).catch(atItsLine);
    const document = documentOf(read.lines);
    setPreview({ document, base: now.revision, ...pairUp(answer.changes, read.lines) });
  };

  const apply = async () => {
    try {
      const answer = await command<Imported>(words(ifRevision(preview!.base)), preview!.document);
      toast(`${plural(answer.changes.length, 'change')} made.`);
      onDone();
    } catch (error) {
      setPreview(null);
      if (error instanceof Refusal && error.outdated)
        form.reject('', 'Somebody else changed the pool meanwhile: look at the preview again.');
      throw error;
    }
  };

  return (
    <Dialog
      title={`Paste keys into ${pool.name}`}
      unsaved={() => Boolean(text.trim())}
      onClose={onClose}
    >
      <form onSubmit={(event) => form.submit(event, preview ? apply : look)} novalidate>
        <div class="dialog-body">
          {form.general && (
            <p class="trouble block" role="alert">
              {form.general}
            </p>
          )}
          {preview ? (
            <PastePreview preview={preview} />
          ) : (
            <>
              <AreaField
                label="Keys, one per line"
                name="lines"
                rows={8}
                code
                autofocus
                value={text}
                error={form.errors.lines}
                hint={
                  <>
                    A line may begin with a name: <code>team-a sk-…</code>; <code>#</code> begins a
                    comment. {plural(read.lines.length, 'key')}
                    {read.repeats > 0 && `, ${read.repeats} repeated and left out`}.
                    {!form.errors.lines && read.trouble && ` ${read.trouble}`}
                  </>
                }
                onInput={setText}
              />
              {needed.map((field) => (
                <TextField
                  key={field.name}
                  label={field.title}
                  name={field.name}
                  required
                  value={shared[field.name] ?? ''}
                  error={form.errors[field.name]}
                  hint="For all of them."
                  onInput={(value) => setShared({ ...shared, [field.name]: value })}
                />
              ))}
              <TextField
                label="Account"
                name="account"
                value={account}
                error={form.errors.account}
                hint="For all of them; leave it empty where each key has an account of its own."
                onInput={setAccount}
              />
              <ExpiryField value={expiry} error={form.errors.expires} onChange={setExpiry} />
            </>
          )}
        </div>
        <DialogFoot>
          {preview ? (
            <Button onClick={() => setPreview(null)}>Back</Button>
          ) : (
            <Button onClick={onClose}>Cancel</Button>
          )}
          <Button kind="primary" type="submit" why={why} disabled={form.busy}>
            {preview ? `Import ${preview.rows.length + preview.others.length}` : 'Preview'}
          </Button>
        </DialogFoot>
      </form>
    </Dialog>
  );
}

function PastePreview({ preview }: { preview: Preview }) {
  const { rows, others } = preview;
  return (
    <section aria-label="Preview">
      <p>
        <b>{plural(rows.length, 'key')} will be added</b> at the end of the pool, all or none.
      </p>
      <ul class="preview">
        {rows.map((row) => (
          <li key={row.change}>
            <span class="sign">+</span> <span class="cut">{row.change}</span>{' '}
            <code>{row.secret}</code>
          </li>
        ))}
      </ul>
      {others.length > 0 && (
        <>
          <p>
            <b>Keys that are there already change:</b>
          </p>
          <ul class="preview">
            {others.map((change) => (
              <li key={change} class="cut">
                {change}
              </li>
            ))}
          </ul>
        </>
      )}
      {!rows.length && !others.length && <p>Nothing would change.</p>}
    </section>
  );
}

export function PasteDialog(props: PasteDialogProps) {
  const own = useVendor(props.pool.vendor);
  const all = useVendors();
  const trouble = own.trouble || all.trouble;
  if (own.value && all.value)
    return <PasteForm {...props} vendor={own.value} vendors={all.value} />;
  return (
    <Dialog title="Paste keys" onClose={props.onClose}>
      <div class="dialog-body">
        <p class={trouble ? 'trouble' : 'faint'}>{trouble || 'Loading…'}</p>
      </div>
    </Dialog>
  );
}
