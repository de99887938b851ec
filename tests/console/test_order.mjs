/* Reordering keys: by mouse, finger, keyboard and menu; against others; and back again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as b from './browser.mjs';
import { until } from './host.mjs';

const at = b.stage();

/* A page with a pool of its own, of four keys. */
async function fourKeys(pool, options) {
  await at.host.makePool(pool, ['a', 'b', 'c', 'd']);
  const page = await at.browser.open(`#/pool/${pool}`, options);
  await b.seesOrder(page, 'a b c d');
  return page;
}

async function becomes(page, pool, order) {
  await until(async () => (await at.host.order(pool)) === order, `the order ${order} in the broker`);
  await b.seesOrder(page, order);
}

test('a row dragged by the mouse is at its new place in the broker', async () => {
  const page = await fourKeys('mouse');
  await b.drag(page, 'a', 'c');
  await b.sees(b.note(page, 'Moved a from 1 to 3.'));
  await becomes(page, 'mouse', 'b c a d');
  await b.drag(page, 'd', 'b');
  await b.sees(b.note(page, 'Moved d from 4 to 1.'));
  await becomes(page, 'mouse', 'd b c a');
  await b.leave(page);
});

test('a drag that escape ends, or that ends where it began, moves nothing', async () => {
  const page = await fourKeys('nowhere');
  await b.carry(page, 'a', 'd');
  await b.hears(page, /a, position 4 of 4/);
  await page.keyboard.press('Escape');
  await page.mouse.up();
  await becomes(page, 'nowhere', 'a b c d');
  await b.drag(page, 'b', 'b');
  await becomes(page, 'nowhere', 'a b c d');
  await b.leave(page);
});

test('a long press and a finger drag a row', async () => {
  const page = await fourKeys('touch', { hasTouch: true, isMobile: true });
  await b.dragByTouch(page, 'a', 'c');
  await b.sees(b.note(page, 'Moved a from 1 to 3.'));
  await becomes(page, 'touch', 'b c a d');
  await b.leave(page);
});

test('a swipe over the rows scrolls and drags nothing', async () => {
  const page = await fourKeys('swipe', { hasTouch: true, isMobile: true, viewport: { width: 400, height: 500 } });
  await b.swipe(page, 'b', -250);
  await page.waitForFunction(() => window.scrollY > 50);
  assert.equal(await at.host.order('swipe'), 'a b c d');
  await b.leave(page);
});

test('space, arrows and space move a row, escape puts it back, and all of it is spoken', async () => {
  const page = await fourKeys('keyboard');
  await b.button(page, 'Reorder a').focus();
  await page.keyboard.press('Space');
  await b.hears(page, /a lifted, at position 1 of 4/);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await b.hears(page, /a, position 3 of 4/);
  await page.keyboard.press('Escape');
  await b.hears(page, /a is back at position 1/);
  await becomes(page, 'keyboard', 'a b c d');

  await page.keyboard.press('Space');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Space');
  await b.hears(page, /Moved a from 1 to 2/);
  await becomes(page, 'keyboard', 'b a c d');
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Reorder a');
  await page.keyboard.press('Space');
  await page.keyboard.press('End');
  await page.keyboard.press('Space');
  await b.hears(page, /Moved a from 2 to 4/);
  await becomes(page, 'keyboard', 'b c d a');
  await b.leave(page);
});

test('the menu moves up, down, to the top, to the bottom and to a position', async () => {
  const page = await fourKeys('menu');
  await b.choose(page, 'b', 'Move up');
  await becomes(page, 'menu', 'b a c d');
  await b.choose(page, 'b', 'Move down');
  await becomes(page, 'menu', 'a b c d');
  await b.choose(page, 'c', 'Move to top');
  await becomes(page, 'menu', 'c a b d');
  await b.choose(page, 'c', 'Move to bottom');
  await becomes(page, 'menu', 'a b d c');
  await b.choose(page, 'a', 'Move to position…');
  const ask = b.dialog(page, 'Move a');
  await b.field(ask, 'Position').fill('9');
  await b.button(ask, 'Move').click();
  await b.sees(ask.getByText('A position from 1 to 4.'));
  await b.field(ask, 'Position').fill('3');
  await page.keyboard.press('Enter');
  await becomes(page, 'menu', 'b d a c');
  await b.leave(page);
});

test('the menu works by keyboard alone', async () => {
  const page = await fourKeys('menu-keys');
  await b.button(page, 'Actions for d').focus();
  await page.keyboard.press('ArrowDown');
  await page.getByRole('menu').waitFor();
  while ((await page.evaluate(() => document.activeElement.textContent)) !== 'Move to top')
    await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await becomes(page, 'menu-keys', 'd a b c');
  await b.leave(page);
});

test('while a filter is on nothing can be dragged, and the page says why', async () => {
  const page = await fourKeys('filtered');
  await b.select(page, 'Status').selectOption('normal');
  await b.sees(page.getByText('4 of 4 keys. Reordering is off while a filter is on.'));
  const handle = b.button(page, 'Reorder a');
  assert.equal(await handle.getAttribute('aria-disabled'), 'true');
  assert.match(await handle.getAttribute('title'), /A filter is on/);
  await b.drag(page, 'a', 'c');
  await handle.focus();
  await page.keyboard.press('Space');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Space');
  await b.choose(page, 'a', 'Move down');
  await b.sees(b.note(page, /A filter is on/));
  assert.equal(await at.host.order('filtered'), 'a b c d');
  await b.button(page, 'Clear').click();
  await b.sees(page.locator('.handle:not([aria-disabled])'));
  await b.drag(page, 'a', 'c');
  await becomes(page, 'filtered', 'b c a d');
  await b.leave(page);
});

test('if somebody else changed the pool during a drag, the new order is shown and said', async () => {
  const page = await fourKeys('rivals');
  await b.carry(page, 'a', 'c');
  await at.host.cli(['move', 'key', 'rivals', 'd', 'first']);
  await b.sees(page.getByText('Changes wait until you are done.'));
  assert.match(await b.seenOrder(page), /^b c a d$/);
  await page.mouse.up();
  await b.sees(b.note(page, /Somebody else changed the pool meanwhile/));
  await b.hears(page, /Somebody else changed the pool meanwhile/);
  await becomes(page, 'rivals', 'd a b c');
  await b.leave(page);
});

test('a status that changes during a drag waits and does not stop the drag', async () => {
  const page = await fourKeys('waiting');
  await b.carry(page, 'a', 'c');
  await at.host.cli(['disable', 'key', 'waiting', 'd']);
  await b.sees(page.getByText('Changes wait until you are done.'));
  assert.match(await b.text(b.row(page, 'd')), /normal/);
  await page.mouse.up();
  await b.says(b.row(page, 'd'), /disabled/);
  await becomes(page, 'waiting', 'b c a d');
  await b.leave(page);
});

test('a reorder is undone by one press', async () => {
  const page = await fourKeys('undone');
  await b.drag(page, 'a', 'd');
  await becomes(page, 'undone', 'b c d a');
  await b.button(page, 'Undo').click();
  await b.sees(b.note(page, 'The order is back as it was.'));
  await becomes(page, 'undone', 'a b c d');
  await b.leave(page);
});

test('an undo does not undo what somebody else did since', async () => {
  const page = await fourKeys('no-undo');
  await b.drag(page, 'a', 'd');
  await becomes(page, 'no-undo', 'b c d a');
  await at.host.cli(['move', 'key', 'no-undo', 'd', 'first']);
  await b.seesOrder(page, 'd b c a');
  await b.button(page, 'Undo').click();
  await b.sees(b.note(page, /Somebody else changed the pool meanwhile/));
  await becomes(page, 'no-undo', 'd b c a');
  await b.leave(page);
});

test('selected rows go to the top together, in the order that they have', async () => {
  const page = await fourKeys('together');
  await page.getByLabel('Select b').check();
  await page.getByLabel('Select d').check();
  await b.button(page, 'To top').click();
  await becomes(page, 'together', 'b d a c');
  await b.leave(page);
});
