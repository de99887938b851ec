/* Enabling, disabling and deleting keys, one or several, and the undo of a disable. */
import { command, ifRevision, keyWord, messageOf } from './api';
import type { Roster } from './roster';
import { toast, troubleToast } from './toast';
import type { Changed, Key } from './types';

type Verb = 'enable' | 'disable' | 'delete';
const DONE: Record<Verb, string> = { enable: 'Enabled', disable: 'Disabled', delete: 'Deleted' };

function named(keys: Key[]): string {
  return keys.length === 1 ? keys[0].name : `${keys.length} keys`;
}

/* One after the other; those that were refused are told, the others are done. */
async function carryOut(
  pool: string,
  verb: Verb,
  keys: Key[],
  revision?: number,
): Promise<{ done: Key[]; refused: string[] }> {
  const done: Key[] = [];
  const refused: string[] = [];
  let known = revision;
  for (const key of keys) {
    try {
      const answer = await command<Changed>([
        verb,
        'key',
        pool,
        keyWord(key),
        ...ifRevision(known),
      ]);
      if (known !== undefined) known = answer.revision;
      done.push(key);
    } catch (error) {
      refused.push(`${key.name}: ${messageOf(error)}`);
      if (known !== undefined) break;
    }
  }
  return { done, refused };
}

export async function enableKeys(roster: Roster, keys: Key[]): Promise<void> {
  const { done, refused } = await carryOut(roster.name, 'enable', keys);
  roster.reload();
  if (done.length) toast(`${DONE.enable} ${named(done)}.`);
  if (refused.length) troubleToast(refused.slice(0, 3).join(' '));
}

export async function disableKeys(roster: Roster, keys: Key[]): Promise<void> {
  const { done, refused } = await carryOut(roster.name, 'disable', keys);
  roster.reload();
  if (refused.length) troubleToast(refused.slice(0, 3).join(' '));
  if (!done.length) return;
  /* Enabling makes a key normal, whatever it was: say so where that is not the same. */
  const others = done.filter((key) => key.status !== 'normal');
  const was = others.length
    ? ` Undo makes ${named(done)} normal, not ${[...new Set(others.map((key) => key.status))].join(' or ')}.`
    : '';
  toast(`${DONE.disable} ${named(done)}.${was}`, {
    label: 'Undo',
    of: 'disable',
    run: () => void enableKeys(roster, done),
  });
}

/* What was refused, in words; empty when all are gone. With a revision: only as long as nobody else
 * changed the pool. */
export async function deleteKeys(roster: Roster, keys: Key[], revision?: number): Promise<string> {
  const { done, refused } = await carryOut(roster.name, 'delete', keys, revision);
  roster.reload();
  if (done.length) toast(`${DONE.delete} ${named(done)}.`);
  return refused.slice(0, 3).join(' ');
}
