/*
 * What was pasted, line by line: keys and their names. Judged as the broker judges keys (its
 * secret.c), so that no secret becomes a name: several things in a line that all look like keys are
 * several keys, and a name that looks like one is refused. Pure.
 */
export interface Line {
  name: string | null;
  secret: string;
  number: number;
}

export interface Pasted {
  lines: Line[];
  repeats: number; /* left out */
  trouble: string; /* of the first line that can't be read */
}

interface Looks {
  key_prefixes: string[];
}

/* Keys are long and random, so some of their characters are digits or capitals. */
const BEHIND_PREFIX = 16;
const WITHOUT_PREFIX = 32;

export function looksLikeKey(word: string, own: Looks, all: Looks[]): boolean {
  const begins = (prefix: string) => {
    const rest = word.slice(prefix.length);
    return word.startsWith(prefix) && rest.length >= BEHIND_PREFIX && /[0-9A-Z]/.test(rest);
  };
  if ([own, ...all].some((vendor) => vendor.key_prefixes.some(begins))) return true;
  const random = /^(?=.*[0-9])(?=.*[A-Za-z])[0-9A-Za-z]+$/.test(word);
  return !own.key_prefixes.length && word.length >= WITHOUT_PREFIX && random;
}

const QUOTED = /^(["'`])(.*)\1$/;
const unquoted = (text: string): string => QUOTED.exec(text)?.[2].trim() ?? text;

/* The fields of a line: between commas, semicolons and tabs where there are any, so that a name may
 * have blanks, else between blanks; quotes bind, and are taken off. NAME=KEY is two fields. */
function fieldsOf(row: string, isKey: (word: string) => boolean): string[] {
  const separator = /[,;\t]/.test(row.replace(/"[^"]*"|'[^']*'|`[^`]*`/g, '')) ? ',;\\t' : '\\s';
  const field = new RegExp(`"[^"]*"|'[^']*'|\`[^\`]*\`|[^${separator}]+`, 'g');
  const found = (row.match(field) ?? []).map((each) => unquoted(each.trim())).filter(Boolean);
  return found.flatMap((each) => {
    const words = each.split(/\s+/);
    if (words.length > 1 && words.some(isKey)) return words;
    const set = /^([^=:]+)[=:](.+)$/.exec(each);
    const value = unquoted(set?.[2].trim() ?? '');
    return set && !isKey(each) && isKey(value) ? [set[1].trim(), value] : [each];
  });
}

function keysOf(fields: string[], isKey: (word: string) => boolean): Omit<Line, 'number'>[] | string {
  if (fields.length > 1 && fields.every(isKey)) return fields.map((secret) => ({ name: null, secret }));
  if (fields.length > 2)
    return `it has ${fields.length} parts. A line is a key, a name and a key, or several keys.`;
  const [name, secret] = fields.length > 1 ? fields : [null, fields[0]];
  if (name && isKey(name))
    return 'its name looks like a key, and names are shown in lists and events. The name comes first.';
  if (!/^[\x21-\x7e]+$/.test(secret)) return 'a key is printable ASCII without blanks.';
  if (/["'`,;]/.test(secret)) return 'no key has a quote, a comma or a semicolon in it.';
  return [{ name, secret }];
}

/* Lines that are empty or begin with # are left out, and so are repeats of a key. */
export function readLines(text: string, own: Looks, all: Looks[]): Pasted {
  const isKey = (word: string) => looksLikeKey(word, own, all);
  const lines: Line[] = [];
  const seen = new Set<string>();
  let repeats = 0;
  for (const [at, row] of text.split(/\r?\n/).entries()) {
    const fields = row.trim().startsWith('#') ? [] : fieldsOf(row.trim(), isKey);
    if (!fields.length) continue;
    const keys = keysOf(fields, isKey);
    if (typeof keys === 'string')
      return { lines, repeats, trouble: `Line ${at + 1} can’t be taken: ${keys}` };
    for (const key of keys) {
      if (seen.has(key.secret)) repeats++;
      else lines.push({ ...key, number: at + 1 });
      seen.add(key.secret);
    }
  }
  return { lines, repeats, trouble: '' };
}

/* The first line for which `refuses` what begins with it: each line may be at fault by itself, so
 * half of what is left is asked about at a time. */
export async function firstRefused(
  lines: Line[],
  refuses: (upTo: Line[]) => Promise<boolean>,
): Promise<Line> {
  let low = 1;
  let high = lines.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (await refuses(lines.slice(0, middle))) high = middle;
    else low = middle + 1;
  }
  return lines[high - 1];
}
