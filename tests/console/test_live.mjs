/* What happens while the page is open: failovers, countdowns, other people, restarts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as b from './browser.mjs';
import { until } from './host.mjs';

const at = b.stage();
const banner = (page) => page.getByRole('alert').filter({ hasText: 'Not connected' });

/* From now on the page writes down when a key's row was first marked as the current one. */
async function watchCurrent(page, name) {
  await page.evaluate((key) => {
    window.seenCurrent = new Promise((seen) => {
      const look = () => {
        const row = document.querySelector(`[role=row][data-key="${key}"]`);
        if (row?.textContent.includes('in use')) seen(Date.now());
      };
      new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
    });
  }, name);
}

test('a failover is shown within a second, without a reload', async () => {
  await at.host.makePool('failover', ['a', 'b', 'c']);
  await at.host.useStandIn('failover');
  const page = await at.browser.open('#/pool/failover');
  await b.says(b.row(page, 'a'), /in use/);
  await page.evaluate(() => (window.neverReloaded = true));
  for (const [failing, next] of [['a', 'b'], ['b', 'c']]) {
    await watchCurrent(page, next);
    await at.host.fail('failover', failing, 'quota');
    const shown = await page.evaluate(() => window.seenCurrent);
    const { events } = await at.host.cli(['show', 'events', 'pool=failover', `key=${failing}`]);
    const happened = Date.parse(events.findLast((event) => event.to === 'exceeded').time);
    assert.ok(shown - happened < 1000, `it took ${shown - happened} ms`);
    await b.says(b.row(page, failing), /exceeded/);
    await b.says(b.row(page, next), /in use/);
    assert.doesNotMatch(await b.text(b.row(page, failing)), /in use/);
  }
  assert.equal(await page.evaluate(() => window.neverReloaded), true);
  await b.says(page.getByRole('main'), /using c, 1 of 3 usable/);
  await b.says(page.getByRole('main'), /last failover (just now|\d+ s ago)/);
  await b.leave(page);
});

test('an exhausted pool counts down to when a key comes back, and goes on then', async () => {
  await at.host.makePool('exhausted', ['a', 'b']);
  await at.host.cli(['set', 'pool', 'exhausted', 'guard=off', 'exceeded-recovery=5s']);
  await at.host.useStandIn('exhausted');
  const page = await at.browser.open('#/pool/exhausted');
  await at.host.answer('exhausted', 'b', 'quota');
  await at.host.fail('exhausted', 'a', 'quota');
  const sentence = page.getByRole('main');
  await b.says(sentence, /exhausted, back in 0:0[1-5]/);
  await b.says(b.row(page, 'a'), /exceeded back in 0:0\d/);
  const before = /back in (0:0\d)/.exec(await b.text(sentence))[1];
  await until(async () => {
    const now = /back in (0:0\d)/.exec(await b.text(sentence))?.[1];
    return now && now < before;
  }, 'the countdown to move');
  await b.says(sentence, /using a, next b, 2 of 2 usable/);
  await b.leave(page);
});

test('the countdown follows the server’s clock, not this machine’s', async () => {
  await at.host.makePool('clock', ['a', 'b']);
  await at.host.cli(['set', 'pool', 'clock', 'guard=off', 'exceeded-recovery=10m']);
  await at.host.useStandIn('clock');
  const context = await at.browser.person();
  await context.addInitScript(() => {
    const real = Date.now;
    Date.now = () => real() + 3600 * 1000;
  });
  const page = await at.browser.open('#/pool/clock', { context });
  await at.host.fail('clock', 'a', 'quota');
  await b.says(b.row(page, 'a'), /back in (10:00|9:[45]\d)/);
  await b.leave(page);
});

test('when the guard holds, a banner says what it means', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  await at.host.makePool('guarded', names);
  await at.host.useStandIn('guarded');
  const page = await at.browser.open('#/pool/guarded');
  await b.seesOrder(page, names.join(' '));
  for (const name of names) await at.host.answer('guarded', name, 'invalid');
  await at.host.work('guarded');
  const until = /The guard is holding until \d\d:\d\d:\d\d\./;
  await b.says(page.getByRole('alert'), until);
  await b.sees(page.getByText(/^guard \d+ %, holding until \d\d:\d\d:\d\d$/));
  await b.go(page, '#/');
  await b.sees(page.getByText(/^guard \d+ %, holding until \d\d:\d\d:\d\d$/));
  await b.leave(page);
});

test('what one person does the other one sees', async () => {
  await at.host.makePool('two', ['a', 'b', 'c']);
  const one = await at.browser.open('#/pool/two');
  const other = await at.browser.open('#/pool/two');
  await b.seesOrder(other, 'a b c');
  await b.drag(one, 'a', 'c');
  await b.seesOrder(other, 'b c a');
  await b.button(other, 'Disable c').click();
  await b.says(b.row(one, 'c'), /disabled/);

  await b.carry(one, 'b', 'a');
  await b.choose(other, 'a', 'Move to top');
  await b.seesOrder(other, 'a b c');
  await one.mouse.up();
  await b.sees(b.note(one, /Somebody else changed the pool meanwhile/));
  await b.seesOrder(one, 'a b c');
  assert.equal(await at.host.order('two'), 'a b c');
  await b.leave(one);
  await b.leave(other);
});

test('while the broker is away the page says so and changes nothing; then it is true again', async () => {
  await at.host.makePool('restart', ['a', 'b', 'c']);
  const page = await at.browser.open('#/pool/restart');
  await b.seesOrder(page, 'a b c');
  await at.host.broker.end('SIGKILL');
  await b.says(banner(page), /The broker does not answer/, 6000);
  await b.sees(page.getByRole('status').filter({ hasText: 'Not connected' }));
  await b.pressAnyway(b.button(page, 'Disable a'));
  await b.sees(b.note(page, 'Not connected: nothing can be changed now.'));
  await b.drag(page, 'a', 'c');

  await at.host.startBroker();
  await at.host.cli(['disable', 'key', 'restart', 'b']);
  await b.live(page);
  await b.sees(banner(page), { state: 'detached' });
  await b.says(b.row(page, 'b'), /disabled/);
  await b.seesOrder(page, 'a b c');
  assert.equal(await at.host.order('restart'), 'a b c');
  await b.button(page, 'Enable b').click();
  await b.says(b.row(page, 'b'), /normal/);
  await b.leave(page);
});

test('a lift by keyboard does not survive the broker', async () => {
  await at.host.makePool('lifted', ['a', 'b', 'c']);
  const page = await at.browser.open('#/pool/lifted');
  await b.button(page, 'Reorder a').focus();
  await page.keyboard.press('Space');
  await page.keyboard.press('ArrowDown');
  await b.hears(page, /position 2 of 3/);
  await at.host.broker.end();
  await b.sees(banner(page));
  await page.keyboard.press('Space');
  await at.host.startBroker();
  await b.live(page);
  await b.seesOrder(page, 'a b c');
  assert.equal(await at.host.order('lifted'), 'a b c');
  await b.leave(page);
});

test('after the console restarted the page asks to sign in again', async () => {
  await at.host.makePool('console', ['a']);
  const page = await at.browser.open('#/pool/console');
  await b.seesOrder(page, 'a');
  await at.host.console.end();
  await b.says(banner(page), /The console does not answer/);
  await at.host.startConsole();
  await b.sees(page.getByRole('heading', { name: 'keybroker' }), { timeout: 20000 });
  await b.field(page, 'Token').fill(at.host.address().split('token=')[1]);
  await b.button(page, 'Sign in').click();
  await b.live(page);
  await b.leave(page);
});

test('a console that hangs shows nothing old as live, and no event is lost over it', async () => {
  await at.host.makePool('hangs', ['a', 'b', 'c']);
  const page = await at.browser.open('#/pool/hangs');
  await b.seesOrder(page, 'a b c');
  at.host.console.child.kill('SIGSTOP');
  await b.says(banner(page), /The console does not answer/);
  await at.host.cli(['order', 'keys', 'hangs', 'c', 'b', 'a']);
  at.host.console.child.kill('SIGCONT');
  await b.live(page);
  await b.seesOrder(page, 'c b a');
  await b.leave(page);
});

test('a console that ends while the broker is away is what is missing then', async () => {
  await at.host.makePool('whose', ['a']);
  const page = await at.browser.open('#/pool/whose');
  await b.seesOrder(page, 'a');
  await at.host.broker.end('SIGKILL');
  await b.says(banner(page), /The broker does not answer/);
  await at.host.console.end('SIGKILL');
  await b.says(banner(page), /The console does not answer/);
  await at.host.startBroker();
  await at.host.startConsole();
  await b.sees(b.button(page, 'Sign in'), { timeout: 20000 });
  await b.leave(page);
});
