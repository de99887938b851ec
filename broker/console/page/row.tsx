/* One key's row: handle, facts, status, actions. Where it stands is the table's business. */
import type { CSSProperties } from 'preact';
import { Button } from './button';
import { Ago } from './clock';
import { Icon } from './icons';
import { whyNotDelete, whyNotDisable, whyNotEdit, whyNotEnable } from './may';
import { memo } from './memo';
import { Menu, type MenuItem } from './menu';
import { poolAddress } from './route';
import { KeyStatus } from './status';
import { parseTime } from './time';
import { toast } from './toast';
import type { Key } from './types';

export type KeyAction =
  'enable' | 'disable' | 'edit' | 'delete' | 'up' | 'down' | 'top' | 'bottom' | 'position';

export interface RowContext {
  pool: string;
  spread: boolean;
  next: string | null;
  total: number;
  mayChange: string | null; /* why not */
  mayMove: string | null;
  act: (action: KeyAction, key: Key, index: number) => void;
  select: (key: Key, index: number, range: boolean) => void;
  handleKey: (event: KeyboardEvent, key: Key, index: number) => void;
  handleBlur: (key: Key) => void;
}

export function keyMenu(item: Key, index: number, context: RowContext): MenuItem[] {
  const { mayChange, mayMove, act, total } = context;
  const change = (why: string | null) => mayChange ?? why;
  const first = index === 0 ? `${item.name} is the first already.` : null;
  const last = index === total - 1 ? `${item.name} is the last already.` : null;
  const entry = (label: string, action: KeyAction, why: string | null, more = {}) => ({
    label,
    why,
    run: () => act(action, item, index),
    ...more,
  });
  return [
    entry('Edit…', 'edit', change(whyNotEdit(item))),
    entry('Enable', 'enable', change(whyNotEnable(item))),
    entry('Disable', 'disable', change(whyNotDisable(item))),
    entry('Move up', 'up', mayMove ?? first, { apart: true }),
    entry('Move down', 'down', mayMove ?? last),
    entry('Move to top', 'top', mayMove ?? first),
    entry('Move to bottom', 'bottom', mayMove ?? last),
    entry('Move to position…', 'position', mayMove),
    entry('Delete…', 'delete', change(whyNotDelete(item)), { apart: true, danger: true }),
  ];
}

/* The one thing that is done most: switch it off, or on again. */
export function SwitchButton({ item, index, context }: RowPart) {
  const enables = item.status !== 'normal' && item.status !== 'cooling';
  const why = context.mayChange ?? (enables ? whyNotEnable(item) : whyNotDisable(item));
  const verb = enables ? 'Enable' : 'Disable';
  return (
    <Button
      class="switch"
      label={`${verb} ${item.name}`}
      why={why}
      onClick={() => context.act(enables ? 'enable' : 'disable', item, index)}
    >
      {verb}
    </Button>
  );
}

function Marks({ item, context }: { item: Key; context: RowContext }) {
  const current = item.current && !context.spread;
  return (
    <>
      {current && (
        <span class="mark current" title="The key that workers use now">
          in use
        </span>
      )}
      {!current && !context.spread && item.name === context.next && (
        <span class="mark next" title="It takes over if the one in use fails now">
          next
        </span>
      )}
      {item.default && (
        <span
          class="mark"
          title="The pool’s own key: it can be edited, moved and disabled, never deleted"
        >
          default
        </span>
      )}
    </>
  );
}

function Expiry({ item }: { item: Key }) {
  if (!item.expires_at) return <span class="faint">never</span>;
  return <Ago time={item.expires_at} />;
}

function lastChange(item: Key): string | null {
  const changed = parseTime(item.updated_at) ?? 0;
  const since = parseTime(item.status_since) ?? 0;
  return since > changed ? item.status_since : item.updated_at;
}

interface RowPart {
  item: Key;
  index: number;
  context: RowContext;
}

interface RowProps extends RowPart {
  place: number; /* where it is drawn, counted from 0 */
  rowHeight: number;
  lifted: boolean;
  chosen: boolean;
}

/* A property of our own, which the style sheet makes a transform of: SortableJS wipes the transform
 * of a row that was dragged. */
const at = (place: number, rowHeight: number): CSSProperties =>
  ({ '--y': `${place * rowHeight}px` }) as CSSProperties;

export const KeyRow = memo(
  ({ item, index, place, rowHeight, lifted, chosen, context }: RowProps) => {
    const current = item.current && !context.spread;
    const mark = `${current ? 'is-current' : ''} ${lifted ? 'is-lifted' : ''}`;
    return (
      <div
        class={`row ${item.status} ${mark} ${chosen ? 'is-chosen' : ''}`}
        role="row"
        aria-rowindex={place + 2}
        data-index={index}
        data-key={item.name}
        data-id={item.id}
        data-current={current ? 'true' : undefined}
        style={at(place, rowHeight)}
      >
        <span class="cell select" role="cell">
          <input
            type="checkbox"
            aria-label={`Select ${item.name}`}
            checked={chosen}
            onClick={(event) => context.select(item, index, event.shiftKey)}
          />
        </span>
        <span class="cell grip" role="cell">
          <button
            type="button"
            class="handle"
            aria-label={`Reorder ${item.name}`}
            aria-describedby={context.mayMove ? 'why-no-move' : 'how-to-move'}
            aria-disabled={context.mayMove ? 'true' : undefined}
            aria-pressed={lifted}
            title={context.mayMove ?? 'Drag, or press space and use the arrow keys'}
            onClick={() => context.mayMove && toast(context.mayMove)}
            onKeyDown={(event) => context.handleKey(event, item, index)}
            onBlur={() => context.handleBlur(item)}
          >
            <Icon name="handle" />
          </button>
        </span>
        <span class="cell number" role="cell">
          {item.priority + place - index}
        </span>
        <span class="cell name" role="cell">
          <span class="line">
            <a class="cut" href={poolAddress(context.pool, item.id)} title={item.name}>
              {item.name}
            </a>
            <Marks item={item} context={context} />
          </span>
          {item.note && (
            <span class="line faint cut" title={item.note}>
              {item.note}
            </span>
          )}
        </span>
        <span class="cell state" role="cell">
          <KeyStatus item={item} />
        </span>
        <span class="cell secret" role="cell">
          <code class="cut">{item.masked ?? '–'}</code>
        </span>
        <span class="cell url" role="cell">
          <span class="cut" title={item.base_url ?? ''}>
            {item.base_url ?? '–'}
          </span>
        </span>
        <span class="cell account" role="cell">
          <span class={`cut ${item.account ? '' : 'faint'}`} title={item.account ?? ''}>
            <span class="small-label account-label">account </span>
            {item.account ?? '–'}
          </span>
        </span>
        {context.spread && (
          <span class="cell weight" role="cell">
            <span class="small-label">weight </span>
            {item.weight}
          </span>
        )}
        <span class="cell expiry" role="cell">
          <span class="small-label">expires </span>
          <Expiry item={item} />
        </span>
        <span class="cell changed" role="cell">
          <span class="small-label">changed </span>
          <Ago time={lastChange(item)} />
        </span>
        <span class="cell actions" role="cell">
          <SwitchButton item={item} index={index} context={context} />
          <Menu label={`Actions for ${item.name}`} items={() => keyMenu(item, index, context)} />
        </span>
      </div>
    );
  },
);

/* A row whose key has not come yet. */
export function EmptyRow({ place, rowHeight }: { place: number; rowHeight: number }) {
  return (
    <div class="row is-empty" role="row" aria-rowindex={place + 2} style={at(place, rowHeight)}>
      <span class="cell" role="cell">
        <span class="unseen">loading</span>
      </span>
    </div>
  );
}
