/* The pools' page, its dialogs, and the header of a pool's page. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as b from './browser.mjs';

const at = b.stage();
const card = (page, pool) =>
  page.getByRole('listitem').filter({ has: page.getByRole('heading', { name: pool, exact: true }) });

test('who has no pool learns what one is, and adds one', async () => {
  const page = await at.browser.open();
  await b.sees(page.getByRole('heading', { name: 'No pools yet' }));
  await b.button(page, 'Add pool').click();
  const form = b.dialog(page, 'Add pool');
  await b.select(form, 'Vendor').selectOption({ label: 'Anthropic' });
  assert.equal(await b.field(form, 'Pool name').inputValue(), 'anthropic');
  await b.button(form, 'Add pool').click();
  await b.sees(form.getByText('The default key needs its secret.'));
  await form.locator('input[name=api_key]').fill('sk-ant-first-0123456789');
  await b.field(form, 'Pool name').fill('Not A Name');
  await b.button(form, 'Add pool').click();
  await b.sees(form.locator('[name=name][aria-invalid=true]'));
  await b.field(form, 'Pool name').fill('claude');
  await b.button(form, 'Add pool').click();
  await b.sees(page.getByRole('heading', { name: 'claude' }));
  await b.sees(page.getByRole('heading', { name: 'One key can’t fail over' }));
  const pool = await at.host.cli(['show', 'pool', 'claude']);
  assert.equal(pool.vendor, 'anthropic');
  assert.equal(pool.usable, 1);
  await b.leave(page);
});

test('the pools’ page has each pool’s vendor, current and next key, numbers and guard', async () => {
  await at.host.makePool('facts', ['a', 'b', 'c', 'd']);
  await at.host.cli(['disable', 'key', 'facts', 'd']);
  const page = await at.browser.open();
  const facts = card(page, 'facts');
  await at.host.cli(['set', 'pool', 'facts', 'guard=30%']);
  await b.says(facts, /guard 30 %, watching/);
  await at.host.cli(['set', 'pool', 'facts', 'guard=off']);
  await b.says(facts, /OpenAI/);
  await b.says(facts, /using a, next b, 3 of 4 usable/);
  await b.says(facts, /3 normal/);
  await b.says(facts, /1 disabled/);
  await b.says(facts, /guard off/);
  await b.says(facts, /no failover yet/);
  await at.host.useStandIn('facts');
  await at.host.fail('facts', 'a', 'quota');
  await b.says(facts, /using b, next c, 2 of 4 usable/);
  await b.says(facts, /1 exceeded/);
  await b.says(facts, /failover (just now|\d+ s ago)/);
  await page.getByRole('link', { name: 'facts' }).click();
  await b.says(page.getByRole('main'), /using b, next c, 2 of 4 usable/);
  assert.equal(await page.title(), 'facts · keybroker');
  await b.leave(page);
});

test('the header says spread, nothing next, exhausted', async () => {
  await at.host.makePool('header', ['a', 'b']);
  const page = await at.browser.open('#/pool/header');
  const main = page.getByRole('main');
  await b.says(main, /using a, next b, 2 of 2 usable/);
  await at.host.cli(['disable', 'key', 'header', 'b']);
  await b.says(main, /using a, 1 of 2 usable/);
  await at.host.cli(['disable', 'key', 'header', 'a']);
  await b.says(main, /exhausted, no key comes back by itself/);
  await at.host.cli(['enable', 'key', 'header', 'a']);
  await at.host.cli(['set', 'pool', 'header', 'strategy=spread']);
  await at.host.cli(['set', 'key', 'header', 'a', 'weight=7']);
  await b.says(main, /spread over the usable keys, 1 of 2 usable/);
  await b.says(b.row(page, 'a'), /7/);
  await b.sees(page.getByRole('columnheader', { name: 'Weight' }));
  await b.leave(page);
});

test('vendor settings edit the default key', async () => {
  await at.host.makePool('vendor', ['main', 'b']);
  const page = await at.browser.open('#/pool/vendor');
  await b.button(page, 'Vendor settings').click();
  const form = b.dialog(page, 'Vendor settings of vendor');
  assert.equal(await b.field(form, 'Name').first().inputValue(), 'main');
  await b.field(form, 'Organization').fill('org-new');
  await b.button(form, 'Save').click();
  await b.sees(b.note(page, 'Saved main.'));
  assert.equal((await at.host.key('vendor', 'main')).config.organization, 'org-new');
  await b.leave(page);
});

test('pool settings change the pool, and deleting it wants its name', async () => {
  await at.host.makePool('settings', ['a']);
  const page = await at.browser.open('#/pool/settings');
  const settings = async () => {
    await b.button(page, 'More about this pool').click();
    await page.getByRole('menuitem', { name: 'Pool settings…' }).click();
    return b.dialog(page, 'Settings of settings');
  };
  const form = await settings();
  await b.field(form, 'Exceeded keys recover').fill('sometimes');
  await b.button(form, 'Save').click();
  await b.sees(form.locator('[name=exceeded_recovery][aria-invalid=true]'));
  assert.match(await b.field(form, 'Guard').inputValue(), /^\d+%$/);
  await b.field(form, 'Guard').fill('40%');
  await b.field(form, 'Exceeded keys recover').fill('6h');
  await b.select(form, 'Strategy').selectOption('spread');
  await b.button(form, 'Save').click();
  await b.sees(form, { state: 'detached' });
  const pool = await at.host.cli(['show', 'pool', 'settings']);
  assert.equal(pool.strategy, 'spread');
  assert.equal(pool.exceeded_recovery, '6h');
  await b.sees(page.getByText('guard 40 %, watching'));

  await b.button(await settings(), 'Delete pool…').click();
  const ask = b.dialog(page, 'Delete pool settings');
  await b.pressAnyway(b.button(ask, 'Delete pool'));
  assert.equal((await at.host.cli(['show', 'pool', 'settings'])).name, 'settings');
  await b.field(ask, 'Type settings to confirm').fill('settings');
  await b.button(ask, 'Delete pool').click();
  await b.sees(page.getByRole('heading', { name: 'Pools' }));
  const names = (await at.host.cli(['show', 'pools'])).pools.map((each) => each.name);
  assert.ok(!names.includes('settings'));
  await b.leave(page);
});

test('a pool that is deleted under a page says so', async () => {
  await at.host.makePool('gone', ['a']);
  const page = await at.browser.open('#/pool/gone');
  await b.seesOrder(page, 'a');
  await at.host.cli(['delete', 'pool', 'gone', 'confirm=gone']);
  await b.sees(page.getByRole('heading', { name: 'There is no pool gone' }));
  await page.getByRole('link', { name: 'Show all pools' }).click();
  await b.sees(page.getByRole('heading', { name: 'Pools' }));
  await b.leave(page);
});
