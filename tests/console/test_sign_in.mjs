/* Who is let in, and what is refused to requests that are not the page's own. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import * as b from './browser.mjs';
import { ask, Host } from './host.mjs';

const at = b.stage();
const TOKEN = 'a-token-that-somebody-wrote-into-a-file';

/* A session as a program has it: the headers of its two secrets. */
async function visit(host) {
  const { hash, search, pathname } = new URL(host.address());
  const answer = await ask(host.origin, { path: pathname + search + hash });
  assert.equal(answer.status, 200);
  const [, secret] = /<meta name="page-secret" content="([^"]+)">/.exec(answer.text);
  return { Cookie: answer.headers['set-cookie'][0].split(';')[0], 'Keybroker-Page-Secret': secret };
}

function command(session, headers = {}, words = ['show', 'pools']) {
  return ask(at.host.origin, {
    method: 'POST',
    path: '/api/command',
    headers: { ...session, 'Content-Type': 'application/json', Origin: at.host.origin, ...headers },
    body: JSON.stringify({ words }),
  });
}

test('the printed address lets one browser in, once', async () => {
  const first = at.host.address();
  const page = await at.browser.open();
  assert.equal(await page.evaluate(() => location.search), '', 'no token stays in the address');
  assert.equal(await page.evaluate(() => document.cookie), '', 'no script sees the session');
  const [cookie] = await page.context().cookies();
  assert.equal(cookie.httpOnly, true);
  assert.equal(cookie.sameSite, 'Strict');
  await page.reload();
  await b.live(page);

  const other = await at.browser.watched(await at.browser.person());
  await other.goto(first);
  await b.sees(other.getByText(/That token is wrong, or was used already/));
  await b.field(other, 'Token').fill('not the right one');
  await b.button(other, 'Sign in').click();
  await b.sees(other.getByText(/That token is wrong/));
  assert.notEqual(at.host.address(), first);
  await b.field(other, 'Token').fill(at.host.address().split('token=')[1]);
  await b.button(other, 'Sign in').click();
  await b.live(other);
  await b.leave(other);
  await b.leave(page);
});

/* What a browser brings to a server at another port of this host. */
async function neighbour(t) {
  const brought = [];
  const server = createServer((request, answer) => {
    brought.push(request.headers);
    answer.setHeader('Content-Type', 'text/html');
    answer.end('<!doctype html><title>a neighbour</title>');
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  t.after(() => server.close());
  return { origin: `http://127.0.0.1:${server.address().port}`, brought };
}

test('a server at another port gets the cookie, and can do nothing with it', async (t) => {
  await at.host.makePool('port', ['a', 'b']);
  const page = await at.browser.open('#/pool/port');
  await b.seesOrder(page, 'a b');
  const { origin, brought } = await neighbour(t);
  const visitor = await page.context().newPage(); /* the same browser */
  await visitor.goto(origin);
  const stolen = brought[0].cookie;
  const [{ name, value }] = await page.context().cookies();
  assert.equal(stolen, `${name}=${value}`, 'the browser sends it to every port');
  assert.equal(await visitor.evaluate(() => localStorage.length), 0, 'and its storage to none');

  const disable = ['disable', 'key', 'port', 'a'];
  for (const guess of [{}, { 'Keybroker-Page-Secret': '' }, { 'Keybroker-Page-Secret': value }]) {
    const forged = { Cookie: stolen, Origin: at.host.origin, 'Sec-Fetch-Site': 'same-origin', ...guess };
    assert.equal((await command(forged, {}, disable)).status, 401);
    for (const path of ['/api/session', '/api/stream'])
      assert.equal((await ask(at.host.origin, { path, headers: forged })).status, 401, path);
    await ask(at.host.origin, { method: 'POST', path: '/logout', headers: forged, body: '' });
  }
  assert.equal(await at.host.statusOf('port', 'a'), 'normal');
  await b.button(page, 'Disable a').click();
  await b.says(b.row(page, 'a'), /disabled/);
  await at.host.cli(['delete', 'pool', 'port', 'confirm=port']);
  await b.leave(page);
});

test('the page’s secret stays with its origin, in no address, for all its tabs, until the sign-out', async () => {
  const page = await at.browser.open('#/events');
  const kept = () => page.evaluate(() => Object.values(localStorage));
  const [secret] = await kept();
  assert.equal(secret.length, 43);
  assert.equal(await page.evaluate(() => location.href), `${at.host.origin}/#/events`);
  assert.equal(await page.evaluate(() => history.length), 2, 'no address with a token is behind it');
  const tab = await page.context().newPage();
  await tab.goto(at.host.origin);
  await b.live(tab);
  await b.button(tab, 'Sign out').click();
  await b.sees(b.button(tab, 'Sign in'));
  assert.deepEqual(await kept(), []);
  await b.sees(b.button(page, 'Sign in'), { timeout: 10000 });
  await b.leave(page);
});

test('a page that has lost its secret asks to sign in, once', async () => {
  const page = await at.browser.open();
  await page.evaluate(() => localStorage.clear());
  await page.reload();
  await b.sees(b.button(page, 'Sign in'));
  await b.field(page, 'Token').fill(at.host.address().split('token=')[1]);
  await b.button(page, 'Sign in').click();
  await b.live(page);
  await b.leave(page);
});

test('who signs out is out', async () => {
  const page = await at.browser.open();
  const cookies = await page.context().cookies();
  const [secret] = await page.evaluate(() => Object.values(localStorage));
  await b.button(page, 'Sign out').click();
  await b.sees(b.button(page, 'Sign in'));
  await page.context().addCookies(cookies);
  await page.goto(at.host.origin);
  await b.sees(b.button(page, 'Sign in'));
  const headers = { Cookie: `${cookies[0].name}=${cookies[0].value}`, 'Keybroker-Page-Secret': secret };
  assert.equal((await ask(at.host.origin, { path: '/api/session', headers })).status, 401);
  await b.leave(page);
});

test('the token of a file works as often as wanted', async () => {
  const host = await Host.start({
    prepare: (dir) => {
      writeFileSync(join(dir, 'token'), `${TOKEN}\n`, { mode: 0o600 });
      return ['--token-file', join(dir, 'token')];
    },
  });
  try {
    assert.doesNotMatch(host.console.said, new RegExp(TOKEN));
    for (let person = 0; person < 2; person++) {
      const page = await at.browser.watched(await at.browser.person());
      await page.goto(host.origin);
      await b.field(page, 'Token').fill(TOKEN);
      await b.button(page, 'Sign in').click();
      await b.live(page);
      await b.leave(page);
    }
  } finally {
    await host.stop();
  }
});

test('without a session there is a sign-in page, and no data', async () => {
  const root = await ask(at.host.origin);
  assert.equal(root.status, 401);
  assert.match(root.text, /Sign in/);
  for (const path of ['/api/session', '/api/stream']) {
    const answer = await ask(at.host.origin, { path });
    assert.equal(answer.status, 401, path);
  }
  assert.equal((await command({})).status, 401);
  assert.equal((await command({ Cookie: 'keybroker=guessed', 'Keybroker-Page-Secret': 'guessed' })).status, 401);
});

test('a request that another site’s page could send is refused', async () => {
  const session = await visit(at.host);
  assert.equal((await command(session)).status, 200);
  const forged = [
    { Origin: 'http://evil.example' },
    { Origin: 'null' },
    { Origin: at.host.origin.replace('127.0.0.1', 'localhost') },
    { Origin: at.host.origin.replace('http:', 'https:') },
    { Host: 'evil.example' },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'same-site' },
    { 'Content-Type': 'text/plain' },
    { 'Content-Type': 'application/x-www-form-urlencoded' },
  ];
  for (const headers of forged) {
    const { status } = await command(session, headers, ['add', 'pool', 'forged', 'vendor=openai']);
    assert.ok([400, 403, 415, 421].includes(status), `${JSON.stringify(headers)}: ${status}`);
  }
  const none = await ask(at.host.origin, {
    method: 'POST',
    path: '/api/command',
    headers: { ...session, 'Content-Type': 'application/json' },
    body: '{"words":["show","pools"]}',
  });
  assert.equal(none.status, 403, 'no Origin at all');
  assert.deepEqual((await at.host.cli(['show', 'pools'])).pools, []);
});

test('a page of another origin can’t read or change anything by fetch', async () => {
  const page = await at.browser.open();
  const evil = await page.context().newPage(); /* the same browser, cookie and all */
  await evil.goto(at.host.origin.replace('127.0.0.1', 'localhost'));
  const outcome = await evil.evaluate(async (origin) => {
    const tries = [
      ['/api/session', {}],
      ['/api/command', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"words":["show","pools"]}' }],
      ['/api/command', { method: 'POST', mode: 'no-cors', body: '{"words":["add","pool","forged","vendor=openai"],"payload":"sk-1"}' }],
    ];
    const got = [];
    for (const [path, init] of tries)
      got.push(await fetch(origin + path, { credentials: 'include', ...init }).then((answer) => answer.type, () => 'refused'));
    return got;
  }, at.host.origin);
  assert.ok(outcome.every((each) => each === 'refused' || each === 'opaque'), String(outcome));
  assert.deepEqual((await at.host.cli(['show', 'pools'])).pools, []);
  await b.leave(page);
});

test('what shows secrets or ends the broker is not to be had here', async () => {
  const session = await visit(at.host);
  const denied = [
    ['export', 'p', 'secrets=yes'], ['quit'], ['backup', '/tmp/b'], ['rotate', 'master-key'], ['watch'],
    ['show', 'pools\nexport p secrets=yes'], ['current', 'p', '--reveal'], ['json', 'show', 'pools'], [],
  ];
  for (const words of denied) {
    const { status } = await command(session, {}, words);
    assert.ok(status === 400 || status === 403, `${words}: ${status}`);
  }
  const info = await at.host.cli(['show', 'info']);
  assert.ok(info, 'the broker lives');
});

test('the page weighs less than 100 KB, and each answer has its security headers', async () => {
  const session = await visit(at.host);
  let weight = 0;
  for (const path of ['/', '/app.js', '/app.css', '/icon.svg']) {
    const headers = { ...session, 'Accept-Encoding': 'gzip' };
    const packed = await ask(at.host.origin, { path, headers });
    assert.equal(packed.headers['content-encoding'], 'gzip', path);
    weight += packed.bytes.length;
    const plain = await ask(at.host.origin, { path, headers: session });
    assert.deepEqual(gunzipSync(packed.bytes), plain.bytes, path);
    for (const { headers: had } of [packed, plain]) {
      assert.match(had['content-security-policy'], /default-src 'none'; script-src 'self'/);
      assert.doesNotMatch(had['content-security-policy'], /unsafe/);
      assert.equal(had['x-content-type-options'], 'nosniff');
      assert.equal(had['referrer-policy'], 'no-referrer');
    }
  }
  assert.ok(weight < 100 * 1000, `${weight} bytes`);
});
