/*
 * A browser as people have it: pages that are signed in, watched for everything that must never
 * happen on them (errors, dialogs that no test asked for, what the Content-Security-Policy stops),
 * and the movements that a hand makes.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { BUILD, Host, sleep, until } from './host.mjs';

const require = createRequire(join(BUILD, 'test-console/package.json'));
const { chromium } = require('playwright-core');
const { source: AXE } = require('axe-core');

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
/* With --user-data-dir=, a new and empty one, which playwright adds. */
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const PATIENCE_MS = 15000;

export class Browser {
  static async start(host) {
    const browser = new Browser();
    browser.host = host;
    browser.chromium = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    return browser;
  }

  /* A person's own browser: nobody else's cookies. */
  async person(options = {}) {
    const context = await this.chromium.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    context.setDefaultTimeout(PATIENCE_MS);
    return context;
  }

  /* Somebody who signs in with the newest address, at `where` ("#/pool/NAME"). */
  async open(where = '', { context, ...options } = {}) {
    context ??= await this.person(options);
    const page = await this.watched(context);
    const before = this.host.console.said;
    await page.goto(this.host.address() + where);
    await until(() => this.host.console.said !== before, 'the next address');
    await live(page);
    return page;
  }

  /* A page of which nothing may go wrong unseen: page.wrong lists what did. */
  async watched(context) {
    const page = await context.newPage();
    page.wrong = [];
    page.on('pageerror', (error) => page.wrong.push(`error: ${error.message}`));
    page.on('console', (message) => {
      const loading = /^Failed to load resource|net::ERR_/.test(message.text()); /* an HTTP status */
      if (message.type() === 'error' && !loading) page.wrong.push(`console: ${message.text()}`);
    });
    page.on('dialog', (dialog) => {
      if (page.answersDialogs) return dialog.accept();
      page.wrong.push(`dialog: ${dialog.message()}`);
      return dialog.dismiss();
    });
    await page.exposeBinding('tellViolation', (_, what) => page.wrong.push(`CSP: ${what}`));
    await page.addInitScript(() =>
      document.addEventListener('securitypolicyviolation', (event) =>
        window.tellViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
      ),
    );
    return page;
  }

  async stop() {
    await this.chromium?.close();
  }
}

/* What a test file plays on: its host and its browser, for as long as it runs. */
export function stage(options, setTheScene = () => {}) {
  const stage = {};
  before(async () => {
    stage.host = await Host.start(options);
    stage.browser = await Browser.start(stage.host);
    await setTheScene(stage);
  });
  after(async () => {
    await stage.browser?.stop();
    await stage.host?.stop();
  });
  return stage;
}

/* Leave the page; nothing went wrong on it. */
export async function leave(page) {
  await page.context().close();
  assert.deepEqual(page.wrong, []);
}

/* ---- where one is ---- */

export async function go(page, where) {
  await page.evaluate((hash) => (location.hash = hash), where);
}

export async function live(page) {
  await page.getByText('Live', { exact: true }).waitFor();
}

export const button = (page, name, exact = true) => page.getByRole('button', { name, exact });
export const field = (page, name) => page.getByLabel(name, { exact: false });
export const select = (page, name) => page.getByRole('combobox', { name });
export const table = (page) => page.getByRole('table', { name: /^Keys of/ });
export const dialog = (page, name) => page.getByRole('dialog', { name });
/* A key's row, found by the name of its handle. */
export const row = (page, name) =>
  page.getByRole('row').filter({ has: button(page, `Reorder ${name}`) });
export const note = (page, text) => page.getByRole('status', { name: 'Notifications' }).getByText(text);

/* The keys' names as they are seen from top to bottom. */
export async function seenOrder(page) {
  const rows = await table(page)
    .getByRole('row')
    .evaluateAll((all) =>
      all
        .filter((each) => each.dataset.key)
        .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
        .map((each) => each.dataset.key),
    );
  return rows.join(' ');
}

export async function seesOrder(page, order) {
  await until(async () => (await seenOrder(page)) === order, `the order ${order}`);
}

export async function sees(locator, options) {
  await locator.first().waitFor(options);
}

export async function text(locator) {
  return (await locator.innerText()).replace(/\s+/g, ' ').trim();
}

export async function says(locator, pattern, patience_ms) {
  let said = '';
  await until(async () => {
    said = (await locator.count()) ? await text(locator.first()) : '';
    return pattern.test(said);
  }, `${pattern}, last seen: ${said}`, patience_ms).catch((error) => {
    throw new Error(`${error.message}; it says "${said}"`);
  });
}

/* What a screen reader says at once. */
export const hears = (page, pattern) =>
  says(page.locator('[aria-live=assertive]'), pattern);

/* Press what says that it may not be pressed (aria-disabled): it tells why. */
export const pressAnyway = (locator) => locator.click({ force: true });

export async function choose(page, key, action) {
  await button(page, `Actions for ${key}`).click();
  await pressAnyway(page.getByRole('menuitem', { name: action, exact: true }));
}

/* ---- the hand ---- */

async function middle(locator) {
  const box = await locator.boundingBox();
  return { x: box.x + box.width / 2, y: box.y + box.height / 2, height: box.height };
}

/* Take a key by its handle with the mouse, and carry it to where another one is. */
export async function carry(page, name, to) {
  const from = await middle(button(page, `Reorder ${name}`));
  const target = await middle(row(page, to));
  await page.mouse.move(from.x, from.y);
  await page.mouse.down();
  await page.mouse.move(from.x, from.y + (target.y > from.y ? 8 : -8), { steps: 2 });
  await page.mouse.move(from.x, target.y, { steps: 8 });
}

export async function drag(page, name, to) {
  await carry(page, name, to);
  await page.mouse.up();
}

/* The same with a finger: a long press, then the way. */
export async function dragByTouch(page, name, to) {
  const touch = await page.context().newCDPSession(page);
  const from = await middle(button(page, `Reorder ${name}`));
  const target = await middle(row(page, to));
  const at = (y) => [{ x: from.x, y }];
  const send = (type, touchPoints) => touch.send('Input.dispatchTouchEvent', { type, touchPoints });
  await send('touchStart', at(from.y));
  await sleep(500);
  for (let step = 1; step <= 10; step++) {
    await send('touchMove', at(from.y + ((target.y - from.y) * step) / 10));
    await sleep(20);
  }
  await send('touchEnd', []);
}

/* A finger that begins on a row and moves on at once. */
export async function swipe(page, name, dy) {
  const touch = await page.context().newCDPSession(page);
  const from = await middle(row(page, name));
  const send = (type, touchPoints) => touch.send('Input.dispatchTouchEvent', { type, touchPoints });
  await send('touchStart', [{ x: from.x, y: from.y }]);
  for (let step = 1; step <= 10; step++) {
    await send('touchMove', [{ x: from.x, y: from.y + (dy * step) / 10 }]);
    await sleep(16);
  }
  await send('touchEnd', []);
}

/* ---- barriers ---- */

/* axe-core finds nothing serious and nothing critical, by all of its rules or by some. */
export async function noBarriers(page, where, rules) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async (runOnly) => {
    const result = await axe.run(document, { preload: false, resultTypes: ['violations'], runOnly });
    return result.violations
      .filter((each) => ['serious', 'critical'].includes(each.impact))
      .flatMap((each) => each.nodes.map((node) => `${each.id}: ${node.html.slice(0, 160)} — ${node.failureSummary}`));
  }, rules);
  assert.deepEqual(found, [], where);
}
