/* How pasted lines are read, case by case: the page's paste_lines.ts by itself. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { BUILD, TOP } from './host.mjs';

const { transformSync } = createRequire(join(BUILD, 'console/npm/package.json'))('esbuild');
const source = readFileSync(join(TOP, 'broker/console/page/paste_lines.ts'), 'utf8');
const { code } = transformSync(source, { loader: 'ts', format: 'esm' });
const { firstRefused, looksLikeKey, readLines } = await import(`data:text/javascript,${encodeURIComponent(code)}`);

const OPENAI = { key_prefixes: ['sk-proj-', 'sk-'] };
const GEMINI = { key_prefixes: ['AIza'] };
const ANYHOW = { key_prefixes: [] };
const ALL = [OPENAI, GEMINI, ANYHOW];
const A = 'AIzaSyD-0123456789abcdefghijklmnopqrs1';
const B = 'sk-proj-0123456789ABCDEFGHIJ';
const HEX = '0123456789abcdef0123456789abcdef';

const read = (text, own = OPENAI) => readLines(text, own, ALL);

/* "NAME=SECRET" or "SECRET" of each line that was understood. */
const said = (text, own) =>
  read(text, own).lines.map(({ name, secret }) => (name === null ? secret : `${name}=${secret}`));

test('a line is a key, a name and a key, or several keys', () => {
  const cases = [
    [A, [A]],
    ['anything', ['anything']],
    [`team-a ${A}`, [`team-a=${A}`]],
    [`  team-a\t${A}  `, [`team-a=${A}`]],
    [`team-a,${A}`, [`team-a=${A}`]],
    [`team-a; ${A};`, [`team-a=${A}`]],
    [`my team, ${A}`, [`my team=${A}`]],
    [`"my team" ${A}`, [`my team=${A}`]],
    [`"my, team",'${A}'`, [`my, team=${A}`]],
    [`team-a short`, ['team-a=short']],
    [`TEAM_KEY=${A}`, [`TEAM_KEY=${A}`]],
    [`TEAM_KEY="${A}"`, [`TEAM_KEY=${A}`]],
    [`${A},${B}`, [A, B]],
    [`${A} ${B}`, [A, B]],
    [`"${A}", '${B}', \`${A}x\``, [A, B, `${A}x`]],
    [`${A} ${B}, ${A}x`, [A, B, `${A}x`]],
    [`'${A}'`, [A]],
    [`# ${A}\n  # more\n\n${B}\r\n`, [B]],
  ];
  for (const [text, expected] of cases) {
    assert.deepEqual(said(text), expected, text);
    assert.equal(read(text).trouble, '', text);
  }
});

test('what is neither is refused with its number, and no secret is repeated', () => {
  const cases = [
    [`${A} team-a`, /^Line 1 .*name looks like a key/],
    [`${A},${B},team-a`, /^Line 1 .*3 parts/],
    [`good\n\na b ${A}`, /^Line 3 .*3 parts/],
    [`export TEAM_KEY=${A}`, /^Line 1 .*3 parts/],
    ['clé', /^Line 1 .*printable ASCII/],
    ["don't", /^Line 1 .*quote/],
    [`name '${A}`, /^Line 1 .*quote/],
  ];
  for (const [text, expected] of cases) {
    assert.match(read(text).trouble, expected, text);
    assert.ok(!read(text).trouble.includes(A.slice(4)), text);
  }
});

test('repeats are left out and counted, and lines keep their numbers', () => {
  const { lines, repeats } = read(`${A}\n#\nx ${A}\n${B},${B}\nlast`);
  assert.equal(repeats, 2);
  assert.deepEqual(lines.map((line) => line.number), [1, 4, 5]);
});

test('keys are known by their looks, also those of other vendors', () => {
  for (const key of [A, B, `sk-${HEX}`]) assert.ok(looksLikeKey(key, OPENAI, ALL), key);
  for (const name of ['team-a', 'sk-team', 'sk-for-the-batch-jobs-at-night', HEX, 'AIza', ''])
    assert.ok(!looksLikeKey(name, OPENAI, ALL), name);
  assert.ok(looksLikeKey(HEX, ANYHOW, ALL), 'where keys have no prefix');
  assert.deepEqual(said(`${HEX},${HEX}0`, ANYHOW), [HEX, `${HEX}0`]);
});

test('the line that is refused is found among many by few questions', async () => {
  const lines = Array.from({ length: 1000 }, (_, at) => ({ number: at + 1 }));
  for (const bad of [1, 2, 500, 999, 1000]) {
    let asked = 0;
    const refuses = async (upTo) => (asked++, upTo.some((line) => line.number === bad));
    assert.equal((await firstRefused(lines, refuses)).number, bad);
    assert.ok(asked <= 10, `${asked}`);
  }
});
