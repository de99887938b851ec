/* The events' page: live, filtered, and at rest where somebody reads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as b from './browser.mjs';
import { until } from './host.mjs';

const at = b.stage();
const events = (page) => page.getByRole('table', { name: 'Events' });
const newest = (page) => events(page).getByRole('row').nth(1);
const count = (page) => events(page).getByRole('row').count();

async function many(pool, times) {
  for (let time = 0; time < times; time++)
    await at.host.cli([time % 2 ? 'enable' : 'disable', 'key', pool, 'b']);
}

test('an event appears by itself, with what, why and who', async () => {
  await at.host.makePool('live', ['a', 'b', 'c']);
  await at.host.useStandIn('live');
  const page = await at.browser.open('#/events');
  await at.host.cli(['move', 'key', 'live', 'c', 'first']);
  await b.says(newest(page), /live c move key from 3 to 1 (root|user 0)$/);
  await at.host.fail('live', 'c', 'quota');
  const row = events(page).getByRole('row').filter({ hasText: 'exceeded' });
  await b.says(row, /live c normal to exceeded .*HTTP 429 · insufficient_quota reported by .*(root|user 0)/);
  const failover = events(page).getByRole('row').filter({ hasText: 'failover' });
  await b.says(failover, /live c failover c to a .*quota.* reported by .*(root|user 0)/);
  await b.leave(page);
});

test('events are filtered by pool, key and kind, and the address keeps the filter', async () => {
  await at.host.makePool('one', ['a', 'b']);
  await at.host.makePool('other', ['a', 'b']);
  await many('one', 2);
  await at.host.cli(['move', 'key', 'other', 'b', 'first']);
  const page = await at.browser.open('#/events');
  await b.select(page, 'Pool').selectOption('one');
  const rows = async () => (await events(page).getByRole('row').allInnerTexts()).slice(1).join('\n');
  await until(async () => /one/.test(await rows()) && !/other/.test(await rows()), 'pool one alone');
  await b.select(page, 'Kind').selectOption('status');
  await until(async () => (await count(page)) === 3, 'two events');
  await page.getByRole('searchbox', { name: 'Key' }).fill('a');
  await b.sees(page.getByRole('heading', { name: 'No event matches' }));
  await page.getByRole('searchbox', { name: 'Key' }).fill('b');
  await until(async () => (await count(page)) === 3, 'two events again');
  await page.waitForURL(/kind=status/);
  await page.reload();
  await until(async () => (await count(page)) === 3, 'the same after a reload');
  await at.host.cli(['disable', 'key', 'other', 'b']);
  await at.host.cli(['disable', 'key', 'one', 'b']);
  await until(async () => (await count(page)) === 4, 'only the event that fits');
  await b.button(page, 'Clear').click();
  await until(async () => (await count(page)) > 4, 'all events');
  await b.leave(page);
});

test('who reads further down keeps their place while new events come', async () => {
  await at.host.makePool('place', ['a', 'b']);
  await many('place', 30);
  const page = await at.browser.open('#/events?pool=place', { viewport: { width: 1280, height: 600 } });
  await b.sees(events(page));
  await page.mouse.move(600, 400);
  await page.mouse.wheel(0, 700);
  await page.waitForFunction(() => window.scrollY > 300);
  const inSight = () =>
    page.evaluate(() => {
      const rows = [...document.querySelectorAll('[role=row][data-seq]')];
      return rows.filter((row) => row.getBoundingClientRect().top > 200).map((row) => row.dataset.seq)[0];
    });
  const before = await inSight();
  await many('place', 3);
  await b.sees(b.button(page, 'Show 3 new events'));
  assert.equal(await inSight(), before);
  await b.button(page, 'Show 3 new events').click();
  await b.says(newest(page), /normal to disabled/);
  assert.equal(await page.evaluate(() => window.scrollY), 0);
  await b.leave(page);
});

test('a pool’s and a key’s events are one step away', async () => {
  await at.host.makePool('near', ['a', 'b']);
  await many('near', 1);
  const page = await at.browser.open('#/pool/near');
  await page.getByRole('link', { name: 'b', exact: true }).click();
  await page.getByRole('link', { name: 'All events of b' }).click();
  await b.says(newest(page), /near b normal to disabled/);
  assert.equal(await b.select(page, 'Pool').inputValue(), 'near');
  await newest(page).getByRole('link', { name: 'near' }).click();
  await b.button(page, 'More about this pool').click();
  await page.getByRole('menuitem', { name: 'Events of this pool' }).click();
  await b.says(newest(page), /near b/);
  await b.leave(page);
});

/* As the broker tells it; put into what it answers, so that each form of it is there. */
const FAILOVER = {
  pool: 'told', key: 'team-1', kind: 'failover', from: null, to: null, class: 'quota', reason: null,
  http_status: null, vendor_code: null, who: 'report uid=1000 pid=7', uid: 1000, pid: 7,
};
const TOLD = [
  { ...FAILOVER, to_key: 'team-2', user: 'inference', program: 'app-3', count: 1 },
  { ...FAILOVER, to_key: null, user: 'inference', program: null, count: 12 },
  { ...FAILOVER, to_key: 'team-2', user: null, program: null, count: 1 },
  { ...FAILOVER, pool: '', key: null, kind: 'backup', class: null, who: 'uid=0 pid=1', uid: 0, user: 'root' },
];

test('a failover is told with both keys, why, and who reported it', async () => {
  const page = await at.browser.open();
  await page.route('**/api/command', async (route) => {
    if (!route.request().postData().includes('"events"')) return route.continue();
    const told = TOLD.map((event, at) => ({ ...event, seq: at + 1, time: '2026-12-01T08:00:07Z' }));
    return route.fulfill({ json: { events: told } });
  });
  await b.go(page, '#/events');
  const row = (number) => events(page).getByRole('row').nth(number);
  await b.says(row(4), /told team-1 failover team-1 to team-2 quota reported by app-3 \(inference\)$/);
  await b.says(row(4), /\d\d:\d\d:07/);
  await b.says(row(3), /failover team-1 to no key 12 times quota reported by inference$/);
  await b.says(row(2), /failover team-1 to team-2 quota reported by user 1000$/);
  await b.says(row(1), /the broker backup root$/);
  await b.leave(page);
});
