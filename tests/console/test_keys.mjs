/* Adding, pasting, editing, enabling, disabling and deleting keys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as b from './browser.mjs';
import { secretOf, sleep, until } from './host.mjs';

const at = b.stage();

async function keys(pool, names) {
  await at.host.makePool(pool, names);
  return at.browser.open(`#/pool/${pool}`);
}

const key = (pool, name) => at.host.key(pool, name);
const secret = async (pool, name) => (await at.host.cli(['current', pool, '--reveal'])).api_key;

/* The text next to a field that says what is wrong with it, as a screen reader finds it. */
async function trouble(page, label) {
  const input = b.field(page, label);
  await b.sees(page.locator('[aria-invalid=true]'));
  assert.equal(await input.getAttribute('aria-invalid'), 'true', `${label} is marked`);
  const ids = (await input.getAttribute('aria-describedby')).split(' ');
  return (await Promise.all(ids.map((id) => page.locator(`[id="${id}"]`).innerText()))).join(' ');
}

test('a key is added with its vendor’s fields, settings of its own and an expiry', async () => {
  const page = await keys('adding', ['key1']);
  await b.button(page, 'Add key').click();
  const form = b.dialog(page, 'Add key to adding');
  await until(async () => (await b.field(form, 'Name').first().inputValue()) === 'key2', 'the name key2');
  await form.locator('input[name=api_key]').fill('sk-of-the-second-key-1234');
  await b.field(form, 'Base URL').fill('https://example.org/v1');
  await b.field(form, 'Organization').fill('org-7');
  await form.getByLabel('At a date and time').check();
  await form.getByLabel('Date and time of expiry').fill('2031-05-06T07:08:09');
  await b.says(form.locator('[data-understood]'), /2031.*07:08:09/);
  await b.field(form, 'Account').fill('team');
  await b.field(form, 'Note').fill('for the night');
  await b.button(form, 'Add setting').click();
  await form.getByLabel('Name of setting 1').fill('region');
  await form.getByLabel('Value of region').fill('eu-1');
  await b.button(form, 'Add key').click();
  await b.sees(b.note(page, 'Added key2 at the end of adding.'));
  await b.seesOrder(page, 'key1 key2');
  const added = await key('adding', 'key2');
  assert.equal(added.base_url, 'https://example.org/v1');
  assert.equal(added.config.organization, 'org-7');
  assert.equal(added.config.region, 'eu-1');
  assert.equal(added.account, 'team');
  assert.equal(added.note, 'for the night');
  assert.equal(Date.parse(added.expires_at), new Date('2031-05-06T07:08:09').getTime());
  assert.ok(!(await page.content()).includes('sk-of-the-second-key'), 'no secret is left on the page');
  await b.leave(page);
});

test('what is wrong with a new key stands next to the field', async () => {
  const page = await keys('wrong', ['key1']);
  await b.button(page, 'Add key').click();
  const form = b.dialog(page, 'Add key to wrong');
  const add = b.button(form, 'Add key');
  await add.click();
  assert.match(await trouble(form, 'API key (required)'), /needs its secret/);
  await form.locator('input[name=api_key]').fill('sk-something-1234567');
  await b.field(form, 'Name').first().fill('key1');
  await add.click();
  assert.match(await trouble(form, 'Name'), /key1/);
  assert.equal(await page.evaluate(() => document.activeElement.name), 'name', 'the focus is there');
  await b.field(form, 'Name').first().fill('other');
  await b.field(form, 'Base URL').fill('no url');
  await add.click();
  assert.match(await trouble(form, 'Base URL'), /URL/i);
  await b.field(form, 'Base URL').fill('');
  await b.field(form, 'Weight').fill('5000');
  await add.click();
  assert.match(await trouble(form, 'Weight'), /1000/);
  await b.field(form, 'Weight').fill('5');
  await add.click();
  await b.seesOrder(page, 'key1 other');
  await b.leave(page);
});

test('what was typed is not thrown away without asking', async () => {
  const page = await keys('typed', ['key1']);
  await b.button(page, 'Add key').click();
  const form = b.dialog(page, 'Add key to typed');
  await form.locator('input[name=api_key]').fill('sk-typed');
  await sleep(200); /* nobody's hand is at Escape within the same frame */
  await page.keyboard.press('Escape');
  await until(() => page.wrong.length, 'a question');
  assert.match(page.wrong.pop(), /Throw away/);
  assert.equal(await form.locator('input[name=api_key]').inputValue(), 'sk-typed');
  page.answersDialogs = true;
  await page.keyboard.press('Escape');
  await b.sees(form, { state: 'detached' });
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Add key');
  await b.leave(page);
});

test('an edit that leaves the secret alone keeps it', async () => {
  const page = await keys('edit', ['a', 'b']);
  await b.choose(page, 'a', 'Edit…');
  const form = b.dialog(page, 'Edit a');
  assert.equal(await form.locator('input[name=api_key]').inputValue(), '');
  await b.field(form, 'Name').first().fill('renamed');
  await b.field(form, 'Note').fill('noted');
  await b.button(form, 'Save').click();
  await b.sees(b.note(page, 'Saved renamed.'));
  await b.seesOrder(page, 'renamed b');
  assert.equal(await secret('edit', 'renamed'), secretOf('edit', 'a'));
  assert.equal((await key('edit', 'renamed')).note, 'noted');

  await b.choose(page, 'renamed', 'Edit…');
  const again = b.dialog(page, 'Edit renamed');
  await again.locator('input[name=api_key]').fill('sk-another-secret-99887766');
  await b.button(again, 'Save').click();
  await b.sees(b.note(page, 'Saved renamed.'));
  await until(async () => (await secret('edit')) === 'sk-another-secret-99887766', 'the new secret');
  await b.leave(page);
});

test('two who edit the same key do not overwrite each other unseen', async () => {
  const page = await keys('both', ['a', 'b']);
  await b.choose(page, 'a', 'Edit…');
  const form = b.dialog(page, 'Edit a');
  await b.field(form, 'Note').fill('mine');
  await at.host.cli(['set', 'key', 'both', 'a', 'note=theirs']);
  await b.button(form, 'Save').click();
  await b.sees(form.getByText(/Somebody else changed a while this was open/));
  assert.equal((await key('both', 'a')).note, 'theirs');
  assert.equal(await b.field(form, 'Note').inputValue(), 'mine');
  await b.button(form, 'Save').click();
  await b.sees(b.note(page, 'Saved a.'));
  assert.equal((await key('both', 'a')).note, 'mine');

  await b.choose(page, 'a', 'Edit…');
  await b.field(form, 'Note').fill('mine again');
  await at.host.cli(['set', 'key', 'both', 'b', 'note=other']);
  await b.button(form, 'Save').click();
  await b.sees(form, { state: 'detached' });
  assert.equal((await key('both', 'a')).note, 'mine again', 'a change of another key is no matter');
  await b.leave(page);
});

test('many keys are pasted: a preview first, then one import', async () => {
  const page = await keys('paste', ['key1']);
  await b.button(page, 'Paste many').click();
  const form = b.dialog(page, 'Paste keys into paste');
  const lines = b.field(form, 'Keys, one per line');
  await b.button(form, 'Preview').click();
  assert.match(await trouble(form, 'Keys, one per line'), /at least one/);
  await lines.fill('sk-paste-0000000001\nteam-b sk-paste-0000000002\n\nsk-paste-0000000001\nsk-paste-0000000003\n');
  await b.sees(form.getByText(/3 keys, 1 repeated and left out/));
  await b.field(form, 'Account').fill('shared');
  await b.button(form, 'Preview').click();
  const preview = form.getByRole('region', { name: 'Preview' });
  await b.says(preview, /3 keys will be added/);
  await b.says(preview, /team-b …0002/);
  assert.equal(await at.host.order('paste'), 'key1', 'nothing is there before the import');
  await b.button(form, 'Import 3').click();
  await b.sees(form, { state: 'detached' });
  await until(async () => (await at.host.keys('paste')).length === 4, 'four keys');
  const all = await at.host.keys('paste');
  assert.equal(all[2].name, 'team-b');
  assert.deepEqual(all.slice(1).map((each) => each.account), ['shared', 'shared', 'shared']);
  const { events } = await at.host.cli(['show', 'events', 'pool=paste']);
  const moments = new Set(events.slice(-3).map((each) => `${each.kind} ${each.time} ${each.who}`));
  assert.equal(moments.size, 1, 'all of them came at once');
  await b.leave(page);
});

const AIZA = (number) => `AIzaSyD-0123456789abcdefghijklmnopqrs${number}`;

test('several keys in a line are several keys, and none of them becomes a name', async () => {
  const page = await keys('line', ['key1']);
  await b.button(page, 'Paste many').click();
  const form = b.dialog(page, 'Paste keys into line');
  await b.field(form, 'Keys, one per line').fill(`# bought in May\n${AIZA(1)},${AIZA(2)},${AIZA(3)}\n'${AIZA(4)}'\n`);
  await b.sees(form.getByText(/4 keys\./));
  await b.button(form, 'Preview').click();
  await b.says(form.getByRole('region', { name: 'Preview' }), /4 keys will be added/);
  await b.button(form, 'Import 4').click();
  await b.seesOrder(page, 'key1 key2 key3 key4 key5');
  assert.ok(!JSON.stringify(await at.host.keys('line')).includes('AIzaSyD-0123'));
  assert.equal(await page.getByText('AIzaSyD-0123').count(), 0);
  await b.leave(page);
});

test('what can’t be pasted is said with its line, also when the broker finds it', async () => {
  const page = await keys('lines', ['first', 'second']);
  await b.button(page, 'Paste many').click();
  const form = b.dialog(page, 'Paste keys into lines');
  const lines = b.field(form, 'Keys, one per line');
  const refused = async (text, pattern) => {
    await lines.fill(text);
    await b.button(form, 'Preview').click();
    assert.match(await trouble(form, 'Keys, one per line'), pattern);
    await lines.fill('');
  };
  await refused(`sk-fine-00000000001\na b sk-fine-00000000002`, /Line 2 can’t be taken: it has 3 parts/);
  await refused(`\n${AIZA(1)} sk-fine`, /Line 2 can’t be taken: its name looks like a key/);
  const good = Array.from({ length: 9 }, (_, at) => `sk-good-000000000${at}`).join('\n');
  await refused(`${good}\n${secretOf('lines', 'second')}\n${good}x`, /Line 10: .*second/);
  await refused(`${good}\nfirst\tsk-good-0000000010\nsecond sk-good-0000000011\nsecond sk-good-0000000012`, /Line 12: .*second/);
  assert.equal(await at.host.order('lines'), 'first second');
  await b.leave(page);
});

test('an expiry may be typed as a while, and what it means is said', async () => {
  const page = await keys('while', ['a', 'b']);
  const DAY = 24 * 3600 * 1000;
  for (const [typed, least, most] of [['+2w', 14 * DAY, 14 * DAY], ['+1y', 365 * DAY, 366 * DAY], ['90d', 90 * DAY, 90 * DAY]]) {
    await b.choose(page, 'b', 'Edit…');
    const form = b.dialog(page, 'Edit b');
    await form.getByLabel('After a while').check();
    const after = form.getByLabel('Time until it expires');
    await after.fill('a while');
    await b.button(form, 'Save').click();
    await b.sees(form.getByText('A date and a time, a while such as +30d'));
    await after.fill(typed);
    const year = new Date(Date.now() + least).getFullYear();
    await b.says(form.locator('[data-understood]'), new RegExp(`${year}.*\\d\\d:\\d\\d:\\d\\d`));
    await b.button(form, 'Save').click();
    await b.sees(form, { state: 'detached' });
    await b.sees(b.note(page, /^Saved b\. It expires .*\d\d:\d\d:\d\d/));
    const left = Date.parse((await key('while', 'b')).expires_at) - Date.now();
    assert.ok(left > least - 60000 && left < most + 3700 * 1000, `${typed}: ${left}`); /* summer time */
  }
  await b.leave(page);
});

test('a key is disabled, the disabling undone, and enabled again', async () => {
  const page = await keys('switch', ['a', 'b']);
  await b.button(page, 'Disable a').click();
  await b.says(b.row(page, 'a'), /disabled/);
  assert.equal(await at.host.statusOf('switch', 'a'), 'disabled');
  await b.button(page, 'Undo').click();
  await b.says(b.row(page, 'a'), /normal/);
  assert.equal(await at.host.statusOf('switch', 'a'), 'normal');
  await b.choose(page, 'b', 'Disable');
  await b.says(b.row(page, 'b'), /disabled/);
  await b.button(page, 'Enable b').click();
  await b.says(b.row(page, 'b'), /normal/);
  assert.equal(await at.host.statusOf('switch', 'b'), 'normal');
  await b.leave(page);
});

test('a delete asks, naming the key; the default key can’t be deleted', async () => {
  const page = await keys('delete', ['a', 'b', 'c']);
  await b.choose(page, 'b', 'Delete…');
  const ask = b.dialog(page, 'Delete b?');
  await b.button(ask, 'Cancel').click();
  assert.equal(await at.host.order('delete'), 'a b c');
  await b.choose(page, 'b', 'Delete…');
  await b.button(ask, 'Delete b').click();
  await b.seesOrder(page, 'a c');
  assert.equal(await at.host.order('delete'), 'a c');
  await b.choose(page, 'a', 'Delete…');
  await b.sees(b.note(page, /default key: it is never deleted/));
  assert.equal(await page.getByRole('dialog').count(), 0);
  await b.leave(page);
});

test('an expired key can’t be enabled, disabled or edited, but moved and deleted', async () => {
  const page = await keys('expired', ['a', 'b', 'c']);
  await at.host.cli(['set', 'key', 'expired', 'b', `expires=${new Date(Date.now() + 1500).toISOString()}`]);
  await b.says(b.row(page, 'b'), /expired/);
  const off = page.getByRole('button', { name: /able b$/ });
  assert.equal(await off.getAttribute('aria-disabled'), 'true');
  await b.pressAnyway(off);
  await b.sees(b.note(page, /b has expired: it can’t be/));
  await b.choose(page, 'b', 'Edit…');
  await b.sees(b.note(page, /b has expired: it can be shown, moved and deleted/));
  await b.choose(page, 'b', 'Move to top');
  await b.seesOrder(page, 'b a c');
  await b.choose(page, 'b', 'Delete…');
  await b.button(b.dialog(page, 'Delete b?'), 'Delete b').click();
  await b.seesOrder(page, 'a c');
  await b.leave(page);
});

test('an expired default key gets a new expiry through the vendor’s settings', async () => {
  const page = await keys('renew', ['a', 'b']);
  await at.host.cli(['set', 'key', 'renew', 'a', `expires=${new Date(Date.now() + 1500).toISOString()}`]);
  await b.says(b.row(page, 'a'), /expired/);
  await b.button(page, 'Vendor settings').click();
  const form = b.dialog(page, 'Vendor settings of renew');
  await form.getByLabel('Never').check();
  await b.button(form, 'Save').click();
  await b.says(b.row(page, 'a'), /normal/);
  assert.equal(await at.host.statusOf('renew', 'a'), 'normal');
  await b.leave(page);
});

test('several selected rows are disabled, enabled and deleted at once', async () => {
  const page = await keys('several', ['a', 'b', 'c', 'd', 'e']);
  await page.getByLabel('Select b').click();
  await page.getByLabel('Select d').click({ modifiers: ['Shift'] });
  const bar = page.getByRole('region', { name: 'Selected keys' });
  await b.says(bar, /3 selected/);
  await b.button(bar, 'Disable').click();
  const states = async () => (await at.host.keys('several')).map((each) => each.status[0]).join('');
  await until(async () => (await states()) === 'ndddn', 'three disabled keys');
  await b.says(b.row(page, 'd'), /disabled/);
  await b.button(bar, 'Enable').click();
  await until(async () => (await states()) === 'nnnnn', 'five normal keys');
  await page.getByLabel('Select a', { exact: true }).check();
  await b.says(bar, /4 selected/);
  await b.button(bar, 'Delete 3…').click();
  const ask = b.dialog(page, 'Delete 3 keys?');
  await b.says(ask, /b c d/);
  await b.button(ask, 'Delete 3 keys').click();
  await b.seesOrder(page, 'a e');
  assert.equal(await at.host.order('several'), 'a e');
  await page.getByLabel('Select all keys').check();
  await b.says(bar, /2 selected/);
  await b.button(bar, 'Clear selection').click();
  await b.sees(bar, { state: 'detached' });
  await b.leave(page);
});

test('a page that waits for an edit shows what happened when the edit is over', async () => {
  const page = await keys('held', ['a', 'b']);
  await b.choose(page, 'a', 'Edit…');
  const form = b.dialog(page, 'Edit a');
  await at.host.cli(['move', 'key', 'held', 'b', 'first']);
  await b.sees(page.getByText('Changes wait until you are done.'));
  assert.equal(await b.seenOrder(page), 'a b');
  await b.button(form, 'Cancel').click();
  await b.seesOrder(page, 'b a');
  await b.leave(page);
});

test('the drawer tells everything about one key', async () => {
  const page = await keys('drawer', ['a', 'b']);
  await at.host.cli(['set', 'key', 'drawer', 'a', 'note=the first', 'account=org-1']);
  await at.host.useStandIn('drawer');
  await at.host.fail('drawer', 'a', 'quota');
  await b.says(b.row(page, 'a'), /exceeded/);
  await page.getByRole('link', { name: 'a', exact: true }).click();
  const drawer = b.dialog(page, 'a');
  await b.says(drawer, /exceeded since .*(\d+ s ago|just now)/);
  await b.says(drawer, /quota or balance used up/i);
  await b.says(drawer, /insufficient_quota/);
  await b.says(drawer, /HTTP 429/);
  await b.says(drawer, /org-1/);
  await b.says(drawer, /the first/);
  await b.says(drawer, /quota used up 1/);
  await b.says(drawer, /reported by /);
  assert.ok(!(await page.content()).includes(secretOf('drawer', 'a')));
  await b.button(drawer, 'Enable').click();
  await b.says(drawer, /normal since /);
  await b.says(drawer, /exceeded to normal/);
  assert.equal(await at.host.statusOf('drawer', 'a'), 'normal');
  await page.keyboard.press('Escape');
  await b.sees(drawer, { state: 'detached' });
  assert.equal(await page.evaluate(() => location.hash), '#/pool/drawer');
  await b.leave(page);
});
