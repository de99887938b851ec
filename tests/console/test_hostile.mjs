/* Names, notes and settings that would be scripts if a page believed them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as b from './browser.mjs';

const at = b.stage();
const IMG = '<img src=x onerror=alert(1)>';
const SCRIPT = '"><script>alert(2)</script>';
const URL = 'javascript:alert(3)';
const MARKUP = '</td></div><svg onload=alert(4)>&lt;';

async function nothingRan(page) {
  assert.equal(await page.locator('#app img:not([src="/icon.svg"]), #app script, svg[onload]').count(), 0);
}

test('no name, note, account, setting or vendor’s code becomes markup', async () => {
  await at.host.makePool('hostile', ['plain']);
  await at.host.cli(['add', 'key', 'hostile', `name=${IMG}`, `account=${SCRIPT}`, `note=${MARKUP}`], {
    api_key: 'sk-12345678901234567890',
    organization: SCRIPT,
    [IMG.replaceAll(' ', '_')]: MARKUP,
    nested: { html: IMG, list: [SCRIPT] },
  });
  await at.host.cli(['add', 'key', 'hostile', `name=${URL}`], { api_key: 'sk-<b>bold</b>12345678901234' });
  const page = await at.browser.open('#/');
  await b.go(page, '#/pool/hostile');
  await b.sees(b.row(page, IMG));
  await b.says(b.row(page, IMG), /<img src=x onerror=alert\(1\)>/);
  await nothingRan(page);

  await b.choose(page, IMG, 'Move to top');
  await b.sees(b.note(page, `Moved ${IMG} from 2 to 1.`));
  await nothingRan(page);
  await page.getByRole('link', { name: IMG, exact: true }).click();
  const drawer = b.dialog(page, IMG);
  await b.says(drawer, /<svg onload=alert\(4\)>/);
  await nothingRan(page);
  await b.button(drawer, 'Edit').click();
  const form = b.dialog(page, `Edit ${IMG}`);
  assert.equal(await b.field(form, 'Note').inputValue(), MARKUP);
  await nothingRan(page);
  await b.field(form, 'Note').fill(SCRIPT);
  await b.button(form, 'Save').click();
  await b.sees(form, { state: 'detached' });
  assert.equal((await at.host.key('hostile', IMG)).note, SCRIPT);
  await b.sees(drawer); /* again, after the form */
  await page.keyboard.press('Escape');
  await b.sees(drawer, { state: 'detached' });

  await b.choose(page, URL, 'Delete…');
  await b.sees(b.dialog(page, `Delete ${URL}?`));
  await nothingRan(page);
  await b.button(page, 'Cancel').click();
  await b.go(page, '#/events');
  await b.sees(page.getByRole('table', { name: 'Events' }).getByText(IMG));
  await nothingRan(page);
  await b.leave(page);
});

test('no address of the page becomes markup', async () => {
  const page = await at.browser.open();
  for (const hash of [`#/pool/${encodeURIComponent(IMG)}`, `#/events?key=${encodeURIComponent(SCRIPT)}&pool=${encodeURIComponent(IMG)}&kind=${encodeURIComponent(MARKUP)}`, `#/${IMG}`, '#/pool/%', '#/pool/%00']) {
    await b.go(page, hash);
    await page.waitForTimeout(150);
    await nothingRan(page);
  }
  await b.leave(page);

  const stranger = await at.browser.watched(await at.browser.person());
  await stranger.goto(`${at.host.origin}/?token=${encodeURIComponent(SCRIPT)}`);
  await b.sees(stranger.getByText(/That token is wrong/));
  assert.equal(await stranger.locator('script').count(), 0);
  await b.leave(stranger);
});

test('a search for markup and a pasted key with markup stay text', async () => {
  await at.host.makePool('search', ['a']);
  const page = await at.browser.open('#/pool/search');
  await page.getByRole('searchbox').fill(IMG);
  await b.sees(page.getByRole('heading', { name: 'No key matches' }));
  await b.button(page, 'Clear the filter').click();
  await b.button(page, 'Paste many').click();
  const form = b.dialog(page, 'Paste keys into search');
  await b.field(form, 'Keys, one per line').fill(`${IMG}, sk-1234567890123456`);
  await b.button(form, 'Preview').click();
  await b.says(form, /\+ <img src=x onerror=alert\(1\)> …3456/);
  await nothingRan(page);
  await b.button(form, 'Import 1').click();
  await b.sees(b.row(page, IMG));
  await nothingRan(page);
  await b.leave(page);
});

test('a script that would stand in the page is stopped by the policy', async () => {
  const page = await at.browser.open();
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.ranInline = true';
    document.body.append(script);
    const handler = document.createElement('button');
    handler.setAttribute('onclick', 'window.ranInline = true');
    document.body.append(handler);
    handler.click();
  });
  assert.equal(await page.evaluate(() => window.ranInline), undefined);
  assert.ok(page.wrong.some((each) => each.startsWith('CSP: script-src')), String(page.wrong));
  page.wrong = [];
  await b.leave(page);
});
