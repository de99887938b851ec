/* 10,000 keys in a pool: few rows in the document, every key within reach. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as b from './browser.mjs';
import { sleep, until } from './host.mjs';

const KEYS = 10000;
const ROWS_MAX = 80; /* in the document, whatever the pool's size */

const at = b.stage({}, async ({ host }) => {
  const names = Array.from({ length: KEYS }, (_, at) => `k${String(at + 1).padStart(5, '0')}`);
  await host.makePool('large', names);
});
const drawn = (page) => b.table(page).getByRole('row').count();

test('of 10,000 keys only those in sight are rows, and scrolling reaches the last one', async () => {
  const page = await at.browser.open('#/pool/large');
  await b.says(page.getByRole('main'), /using k00001, next k00002, 10,000 of 10,000 usable/);
  await b.sees(b.row(page, 'k00001'));
  assert.ok((await drawn(page)) < ROWS_MAX);
  assert.equal(await b.table(page).getAttribute('aria-rowcount'), String(KEYS + 1));
  await page.keyboard.press('End');
  await b.sees(b.row(page, 'k10000'));
  await until(async () => (await b.row(page, 'k10000').boundingBox()).y < 900, 'the last row in sight');
  assert.ok((await drawn(page)) < ROWS_MAX);
  assert.equal(await b.row(page, 'k10000').getAttribute('aria-rowindex'), String(KEYS + 1));
  await page.mouse.move(600, 500);
  await page.mouse.wheel(0, -200000);
  await b.sees(b.table(page).locator('[data-index]'));
  assert.ok((await drawn(page)) < ROWS_MAX);
  await b.leave(page);
});

test('the search and the status filter find one of 10,000 on the server', async () => {
  const page = await at.browser.open('#/pool/large');
  await at.host.cli(['disable', 'key', 'large', 'k07777']);
  let asked = 0;
  page.on('request', (request) => (asked += /match=k07/.test(request.postData() ?? '') ? 1 : 0));
  await page.getByRole('searchbox').fill('k077');
  await b.says(page.getByRole('search'), /100 of 10,000 keys/);
  assert.ok(asked > 0, 'the broker was asked');
  await b.select(page, 'Status').selectOption('disabled');
  await b.seesOrder(page, 'k07777');
  await page.getByRole('searchbox').fill('');
  await b.seesOrder(page, 'k07777');
  await b.button(page, 'Enable k07777').click();
  await b.sees(page.getByRole('heading', { name: 'No key matches' }));
  await b.button(page, 'Clear the filter').click();
  await b.sees(b.row(page, 'k00001'));
  await b.leave(page);
});

test('a row dragged to the window’s edge makes it scroll, also past what was loaded', async () => {
  const page = await at.browser.open('#/pool/large');
  await b.sees(b.row(page, 'k00001'));
  await b.carry(page, 'k00001', 'k00003');
  const box = await b.button(page, 'Reorder k00001').boundingBox();
  await page.mouse.move(box.x + 10, 890, { steps: 4 });
  await page.waitForFunction(() => window.scrollY > 1500);
  await page.mouse.move(box.x + 10, 450, { steps: 4 });
  await sleep(300);
  await page.mouse.up();
  await b.sees(b.note(page, /Moved k00001 from 1 to \d+\./));
  const place = Number(/ to (\d+)/.exec(await b.text(b.note(page, /Moved/)))[1]);
  assert.ok(place > 20, `it is at ${place}`);
  await until(async () => (await at.host.key('large', 'k00001')).priority === place, 'the same place in the broker');
  await b.button(page, 'Undo').click();
  await until(async () => (await at.host.key('large', 'k00001')).priority === 1, 'the place that it had');
  await b.leave(page);
});

test('a key moves by its menu to a position thousands of rows away', async () => {
  const page = await at.browser.open('#/pool/large');
  await b.choose(page, 'k00002', 'Move to position…');
  await b.field(b.dialog(page, 'Move k00002'), 'Position').fill('9000');
  await page.keyboard.press('Enter');
  await b.sees(b.note(page, 'Moved k00002 from 2 to 9000.'));
  assert.equal((await at.host.key('large', 'k00002')).priority, 9000);
  await b.leave(page);
});
