/* A console that runs as a member of the viewer group: it shows, and what it can't do says why. And
 * one whose user is in no group. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as b from './browser.mjs';
import { Host, notRoot } from './host.mjs';

const VIEWER = { uid: 65534, gid: 54322 };
const OPTIONS = { broker: [`--viewer-group=${VIEWER.gid}`], viewer: VIEWER };
const skip = { skip: notRoot };
const at = notRoot ? null : b.stage(OPTIONS, (now) => now.host.makePool('seen', ['a', 'b', 'c']));

test('a viewer sees the pool, and each change is off with the reason', skip, async () => {
  const page = await at.browser.open('#/pool/seen');
  await b.seesOrder(page, 'a b c');
  await b.sees(page.getByText('viewer', { exact: true }));
  const why = /You may look, not change/;
  for (const name of ['Add key', 'Paste many', 'Vendor settings', 'Disable b', 'Reorder b']) {
    const off = b.button(page, name);
    assert.equal(await off.getAttribute('aria-disabled'), 'true', name);
    assert.match(await off.getAttribute('title'), why, name);
    const ids = await off.getAttribute('aria-describedby');
    assert.match(await page.locator(`[id="${ids}"]`).textContent(), why, `${name} is described`);
  }
  await b.pressAnyway(b.button(page, 'Add key'));
  await b.sees(b.note(page, why));
  await b.drag(page, 'a', 'c');
  for (const action of ['Edit…', 'Disable', 'Move down', 'Delete…']) {
    await b.choose(page, 'b', action);
    await b.sees(b.note(page, why));
    assert.equal(await page.getByRole('dialog').count(), 0, action);
  }
  assert.equal(await at.host.order('seen'), 'a b c');
  assert.equal(await at.host.statusOf('seen', 'b'), 'normal');
  await b.leave(page);
});

test('a viewer follows what others do, opens the drawer and the events', skip, async () => {
  const page = await at.browser.open('#/pool/seen');
  await at.host.cli(['disable', 'key', 'seen', 'b']);
  await b.says(b.row(page, 'b'), /disabled/);
  await page.getByRole('link', { name: 'b', exact: true }).click();
  const drawer = b.dialog(page, 'b');
  await b.says(drawer, /disabled since /);
  assert.equal(await b.button(drawer, 'Enable').getAttribute('aria-disabled'), 'true');
  await page.keyboard.press('Escape');
  await b.go(page, '#/events');
  await b.sees(page.getByRole('table', { name: 'Events' }).getByText('disabled'));
  await b.leave(page);
});

test('the broker refuses a viewer’s change even if the page sends it', skip, async () => {
  const page = await at.browser.open('#/pool/seen');
  const status = await page.evaluate(async () => {
    const [secret] = Object.values(localStorage);
    const headers = { 'Content-Type': 'application/json', 'Keybroker-Page-Secret': secret };
    const body = JSON.stringify({ words: ['delete', 'key', 'seen', 'c'] });
    return (await fetch('/api/command', { method: 'POST', headers, body })).status;
  });
  assert.equal(status, 403);
  assert.equal(await at.host.order('seen'), 'a b c');
  await b.leave(page);
});

test('a console whose user is in no group says what to do, and blames nobody else', skip, async () => {
  const host = await Host.start({ viewer: { uid: 65534, gid: 65534 } });
  try {
    const page = await at.browser.watched(await at.browser.person());
    await page.goto(host.address());
    const banner = page.getByRole('alert').filter({ hasText: 'Not connected' });
    await b.says(banner, /The broker refuses this console: its user \(uid 65534\) is in neither/);
    await b.sees(page.getByText('The broker does not let this console in.'));
    await b.leave(page);
  } finally {
    await host.stop();
  }
});
