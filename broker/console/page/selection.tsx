/* The bar that appears when rows are selected: what may be done to all of them, by the rules. */
import { Button } from './button';
import { whyNotDelete, whyNotDisable, whyNotEnable } from './may';
import { gatherKeys } from './order';
import type { Roster } from './roster';
import { disableKeys, enableKeys } from './switching';
import type { Key } from './types';

interface SelectionBarProps {
  roster: Roster;
  keys: Key[];
  mayChange: string | null;
  mayMove: string | null;
  onDelete: (keys: Key[]) => void;
  onClear: () => void;
}

/* Those that the rules allow, and why not where they allow none. */
function allowed(
  keys: Key[],
  rule: (key: Key) => string | null,
): { those: Key[]; why: string | null } {
  const those = keys.filter((key) => !rule(key));
  return { those, why: those.length ? null : rule(keys[0]) };
}

export function SelectionBar(props: SelectionBarProps) {
  const { roster, keys, mayChange, mayMove } = props;
  if (!keys.length) return null;
  const enable = allowed(keys, whyNotEnable);
  const disable = allowed(keys, whyNotDisable);
  const remove = allowed(keys, whyNotDelete);
  const verb = (word: string, those: Key[]) =>
    those.length && those.length < keys.length ? `${word} ${those.length}` : word;
  return (
    <section class="selection" role="region" aria-label="Selected keys">
      <b role="status">{keys.length} selected</b>
      <Button why={mayChange ?? enable.why} onClick={() => void enableKeys(roster, enable.those)}>
        {verb('Enable', enable.those)}
      </Button>
      <Button
        why={mayChange ?? disable.why}
        onClick={() => void disableKeys(roster, disable.those)}
      >
        {verb('Disable', disable.those)}
      </Button>
      <Button why={mayMove} onClick={() => void gatherKeys(roster, keys, 'top')}>
        To top
      </Button>
      <Button why={mayMove} onClick={() => void gatherKeys(roster, keys, 'bottom')}>
        To bottom
      </Button>
      <Button
        kind="danger"
        why={mayChange ?? remove.why}
        onClick={() => props.onDelete(remove.those)}
      >
        {verb('Delete', remove.those)}…
      </Button>
      <Button kind="quiet" onClick={props.onClear}>
        Clear selection
      </Button>
    </section>
  );
}
