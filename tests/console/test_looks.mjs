/* How the pages look and who can use them: axe-core finds nothing serious, and pictures of all
 * states at three widths, light and dark, land in build/screens/. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as b from './browser.mjs';
import { BUILD } from './host.mjs';

const WIDTHS = [360, 768, 1440, 1920];
const SCHEMES = ['light', 'dark'];
const SCREENS = join(BUILD, 'screens');
mkdirSync(SCREENS, { recursive: true });

const at = b.stage();

/* In each width and scheme nothing is wider than the window; in each scheme no barriers. */
async function lookAt(page, name) {
  for (const colorScheme of SCHEMES) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: width < 500 ? 800 : 1000 });
      await page.evaluate(() => new Promise(requestAnimationFrame));
      await page.screenshot({ path: join(SCREENS, `${name}-${width}-${colorScheme}.png`) });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wider <= 0, `${name} at ${width} px is ${wider} px too wide`);
    }
    const rules = colorScheme === 'light' ? undefined : ['color-contrast']; /* the others see no colours */
    await b.noBarriers(page, `${name}, ${colorScheme}`, rules);
  }
}

/* What is written in a cell ends within it, and the cell within the table. */
const runsOver = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('.table [role=row] > .cell')]
      .filter((cell) => getComputedStyle(cell).position !== 'absolute') /* of the head, where there is none */
      .filter((cell) => {
        const table = cell.closest('.table').getBoundingClientRect().right;
        const runs = getComputedStyle(cell).overflowX === 'visible' && cell.scrollWidth > cell.clientWidth;
        return runs || cell.getBoundingClientRect().right > table;
      })
      .map((cell) => `${cell.className}: ${cell.textContent}`),
  );

/* The same at every width. */
async function nothingRunsOver(page, name, andNeither = async () => {}) {
  for (let width = 360; width <= 1920; width += width < 1100 ? 24 : 120) {
    await page.setViewportSize({ width, height: 900 });
    await page.evaluate(() => new Promise(requestAnimationFrame));
    assert.deepEqual(await runsOver(page), [], `${name}, ${width} px`);
    await andNeither(`${name}, ${width} px`);
  }
}

test('the sign-in page and an empty pools’ page', async () => {
  const stranger = await at.browser.watched(await at.browser.person());
  await stranger.goto(at.host.origin);
  await lookAt(stranger, 'sign-in');
  await b.leave(stranger);
  const page = await at.browser.open();
  await b.sees(page.getByRole('heading', { name: 'No pools yet' }));
  await lookAt(page, 'pools-0');
  await b.leave(page);
});

test('a pool of one key', async () => {
  await at.host.makePool('one', ['key1']);
  const page = await at.browser.open('#/pool/one');
  await b.seesOrder(page, 'key1');
  await lookAt(page, 'pool-1');
  await b.leave(page);
});

test('a pool of seven keys, one of each status; its dialog, drawer and events', async () => {
  const { host } = at;
  await host.makePool('seven', ['team-a', 'team-b', 'team-c', 'nightly', 'old', 'spare', 'last']);
  await host.cli(['set', 'pool', 'seven', 'guard=off', 'error-recovery=6h']);
  await host.cli(['set', 'key', 'seven', 'nightly', 'note=for the batch jobs at night', 'account=org-1']);
  await host.cli(['set', 'key', 'seven', 'spare', 'expires=+30d', 'weight=3']);
  await host.cli(['set', 'key', 'seven', 'old', `expires=${new Date(Date.now() + 1500).toISOString()}`]);
  await host.useStandIn('seven');
  await host.fail('seven', 'team-a', 'success&rate=0&window_ms=240000');
  await host.fail('seven', 'team-b', 'quota');
  await host.fail('seven', 'team-c', 'invalid');
  await host.cli(['disable', 'key', 'seven', 'last']);
  const page = await at.browser.open('#/pool/seven');
  await b.says(b.row(page, 'old'), /expired/);
  await b.says(b.row(page, 'team-a'), /cooling/);
  await lookAt(page, 'pool-7');
  await b.button(page, 'Add key').click();
  await b.sees(b.dialog(page, 'Add key to seven'));
  await lookAt(page, 'dialog');
  await b.dialog(page, 'Add key to seven').getByLabel('After a while').check();
  await page.locator('[data-understood]').scrollIntoViewIfNeeded();
  await lookAt(page, 'dialog-expiry');
  page.answersDialogs = true; /* what was typed is thrown away */
  await b.button(b.dialog(page, 'Add key to seven'), 'Close').click();
  await b.button(page, 'Paste many').click();
  const paste = b.dialog(page, 'Paste keys into seven');
  await b.field(paste, 'Keys, one per line').fill('team-x sk-1\n# a comment\na b sk-2');
  await b.button(paste, 'Preview').click();
  await b.sees(page.locator('[aria-invalid=true]'));
  await lookAt(page, 'paste');
  await b.field(paste, 'Keys, one per line').fill('');
  await b.button(paste, 'Close').click();
  await page.getByRole('link', { name: 'team-b', exact: true }).click();
  await b.sees(b.dialog(page, 'team-b'));
  await lookAt(page, 'drawer');
  await page.keyboard.press('Escape');
  await page.getByLabel('Select nightly').check();
  await b.button(page, 'Actions for team-a').click();
  await b.noBarriers(page, 'menu and selection');
  await page.keyboard.press('Escape');
  await b.go(page, '#/events');
  await b.sees(page.getByRole('table', { name: 'Events' }));
  await lookAt(page, 'events');
  await nothingRunsOver(page, 'events');
  await b.go(page, '#/');
  await b.sees(page.getByRole('heading', { name: 'Pools' }));
  await lookAt(page, 'pools-2');
  await b.leave(page);
});

test('no cell runs over its neighbour, and every countdown is read whole', async () => {
  await at.host.makePool('long', ['a', 'b', 'c', 'd']);
  await at.host.cli(['set', 'pool', 'long', 'guard=off', 'exceeded-recovery=47h', 'error-recovery=300d']);
  await at.host.useStandIn('long');
  await at.host.fail('long', 'a', 'quota');
  await at.host.fail('long', 'b', 'invalid');
  for (const strategy of ['priority', 'spread']) {
    await at.host.cli(['set', 'pool', 'long', `strategy=${strategy}`]);
    const page = await at.browser.open('#/pool/long');
    await b.says(b.row(page, 'a'), /exceeded .*4[67]:\d\d:\d\d/);
    await nothingRunsOver(page, strategy, async (where) => {
      const cut = await page.evaluate(() =>
        [...document.querySelectorAll('.rows .countdown')].filter((each) => {
          const [mine, line] = [each, each.closest('.recovers')].map((one) => one.getBoundingClientRect());
          return mine.right > line.right + 0.5 || mine.bottom > line.bottom + 0.5 || mine.top < line.top - 0.5;
        }).length,
      );
      assert.equal(cut, 0, `${where}: a countdown is cut`);
    });
    await lookAt(page, `pool-long-${strategy}`);
    await b.leave(page);
  }
});

test('a pool of 10,000 keys', async () => {
  const names = Array.from({ length: 10000 }, (_, at) => `key-${at + 1}`);
  await at.host.makePool('large', names);
  const page = await at.browser.open('#/pool/large');
  await b.sees(b.row(page, 'key-1'));
  await lookAt(page, 'pool-10000');
  await b.leave(page);
});

test('a guard that holds', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  await at.host.makePool('guarded', names);
  await at.host.useStandIn('guarded');
  for (const name of names) await at.host.answer('guarded', name, 'invalid');
  await at.host.work('guarded');
  const page = await at.browser.open('#/pool/guarded');
  await b.sees(page.getByRole('alert').filter({ hasText: 'The guard is holding' }));
  await lookAt(page, 'guard');
  await b.leave(page);
});

test('a broker that does not answer', async () => {
  const page = await at.browser.open('#/pool/seven');
  await b.sees(b.row(page, 'spare'));
  await at.host.broker.end();
  await b.sees(page.getByRole('alert').filter({ hasText: 'Not connected' }));
  await lookAt(page, 'disconnected');
  await b.leave(page);
});

test('a console that does not answer', async () => {
  await at.host.startBroker();
  const page = await at.browser.open('#/pool/seven');
  await b.sees(b.row(page, 'spare'));
  await at.host.console.end();
  await b.sees(page.getByRole('alert').filter({ hasText: 'The console does not answer' }));
  await lookAt(page, 'no-console');
  await b.leave(page);
});
