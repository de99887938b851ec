/*
 * Changes of a pool's order: one atomic command each, refused by the broker where somebody else was
 * faster, and one step back that can be undone.
 */
import { announceNow } from './announce';
import { command, ifRevision, keyWord, messageOf, Refusal } from './api';
import type { Roster } from './roster';
import { toast, troubleToast } from './toast';
import type { Changed, Key } from './types';

/* Carry out `words`; afterwards the page shows what is, and `settled` has been called with it. */
async function change(
  roster: Roster,
  words: string[],
  payload: unknown,
  settled?: () => void,
): Promise<Changed | null> {
  try {
    const answer = await command<Changed>(words, payload);
    await roster.load(settled ?? (() => undefined));
    return answer;
  } catch (error) {
    await roster.load(settled ?? (() => undefined));
    const outdated = error instanceof Refusal && error.outdated;
    const said = outdated
      ? 'Somebody else changed the pool meanwhile. This is its order now; nothing was moved.'
      : `Nothing was moved: ${messageOf(error)}`;
    troubleToast(said);
    announceNow(said);
    return null;
  }
}

function orderWords(roster: Roster, revision: number | undefined): string[] {
  return ['order', 'keys', roster.name, ...ifRevision(revision)];
}

function offerUndo(text: string, undo: () => Promise<Changed | null>): void {
  const run = async () => {
    if (await undo()) toast('The order is back as it was.');
  };
  announceNow(text);
  toast(text, { label: 'Undo', of: 'order', run: () => void run() });
}

/* Move one key from one place of the whole order to another, both counted from 0. */
export async function moveKey(
  roster: Roster,
  key: Key,
  from: number,
  to: number,
  settled?: () => void,
): Promise<void> {
  const { list } = roster.store.get();
  if (!list) return;
  const text = `Moved ${key.name} from ${from + 1} to ${to + 1}.`;
  if (roster.whole) {
    const before = list.keys.map(keyWord);
    const after = before.filter((word) => word !== keyWord(key));
    after.splice(to, 0, keyWord(key));
    await orderAs(roster, before, after, text, settled);
    return;
  }
  const place = (index: number, revision: number | undefined) => [
    'move',
    'key',
    roster.name,
    keyWord(key),
    'to',
    String(index + 1),
    ...ifRevision(revision),
  ];
  const done = await change(roster, place(to, list.revision), undefined, settled);
  if (done) offerUndo(text, () => change(roster, place(from, done.revision), undefined));
}

async function orderAs(
  roster: Roster,
  before: string[],
  after: string[],
  text: string,
  settled?: () => void,
): Promise<void> {
  const revision = roster.store.get().list?.revision;
  const done = await change(roster, orderWords(roster, revision), after, settled);
  if (done) offerUndo(text, () => change(roster, orderWords(roster, done.revision), before));
}

/* Several keys to the top or the bottom, in the order that they have. */
export async function gatherKeys(
  roster: Roster,
  chosen: Key[],
  end: 'top' | 'bottom',
): Promise<void> {
  const before = roster.store.get().list!.keys.map(keyWord);
  const ids = new Set(chosen.map(keyWord));
  const moved = before.filter((word) => ids.has(word));
  const others = before.filter((word) => !ids.has(word));
  const after = end === 'top' ? [...moved, ...others] : [...others, ...moved];
  await orderAs(roster, before, after, `Moved ${chosen.length} keys to the ${end}.`);
}
