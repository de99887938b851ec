/*
 * A host of its own for a test file: directories, a broker, a console, a vendor that refuses keys
 * and workers that tell. Everything is real and ends with the file, by process id.
 */
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const TOP = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const BUILD = process.env.KEYBROKER_BUILD ?? join(TOP, 'build');
const PATIENCE_MS = 20000;

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/* Ask again until `look` gives something true; what it gave. */
export async function until(look, what, patience_ms = PATIENCE_MS) {
  const end = Date.now() + patience_ms;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`waited ${patience_ms} ms in vain for ${what}`);
    await sleep(50);
  }
}

/* A program that runs until it is ended, and what it has said so far. */
class Program {
  constructor(path, args, options = {}) {
    this.said = '';
    this.child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    for (const output of [this.child.stdout, this.child.stderr])
      output.setEncoding('utf8').on('data', (text) => (this.said += text));
    this.ended = new Promise((done) => {
      this.child.on('exit', done);
      this.child.on('error', (error) => done((this.said += error.message)));
    });
    this.ended.then(() => (this.over = true));
  }

  async says(pattern) {
    const found = () => {
      if (this.over) throw new Error(`${this.child.spawnfile} ended: ${this.said}`);
      return pattern.exec(this.said);
    };
    return until(found, `${pattern} of ${this.child.spawnfile}`);
  }

  async end(signal = 'SIGTERM') {
    if (!this.over) this.child.kill(signal);
    await this.ended;
  }
}

/* Run to the end: what it printed, and how it ended. */
function run(path, args, { input = '', env } = {}) {
  return new Promise((done) => {
    const child = spawn(path, args, { env: { ...process.env, ...env } });
    const result = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text) => (result.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (result.stderr += text));
    child.on('close', (code) => done({ ...result, code }));
    child.stdin.on('error', () => {}); /* it did not want to hear */
    child.stdin.end(input);
  });
}

export class Host {
  /* `broker`: further options; `prepare` puts files for the console into a directory and gives its
   * further options; `viewer`: the console runs as such a user. */
  static async start({ broker = [], prepare = () => [], viewer } = {}) {
    const host = new Host();
    host.dir = mkdtempSync(join(tmpdir(), 'keybroker-console.'));
    host.runtime = mkdtempSync('/dev/shm/keybroker-console.');
    chmodSync(host.dir, 0o755);
    chmodSync(host.runtime, 0o755);
    mkdirSync(join(host.dir, 'state'), { mode: 0o700 });
    Object.assign(host, { brokerOptions: broker, consoleOptions: prepare(host.dir), viewer });
    try {
      await host.startBroker();
      await host.startConsole();
    } catch (error) {
      await host.stop();
      throw error;
    }
    return host;
  }

  async startBroker() {
    const dirs = ['--state-dir', join(this.dir, 'state'), '--runtime-dir', this.runtime];
    this.broker = new Program(join(BUILD, 'keybrokerd'), [...dirs, ...this.brokerOptions]);
    await until(async () => {
      if (this.broker.over) throw new Error(`the broker ended: ${this.broker.said}`);
      return (await this.tell(['show', 'info'])).code === 0;
    }, 'the broker');
  }

  /* On the port that it had before, if it had one. */
  async startConsole() {
    let path = join(BUILD, 'keybroker-console');
    if (this.viewer) path = this.copyForAll(path);
    const listen = ['--listen', `127.0.0.1:${this.port ?? 0}`, '--runtime-dir', this.runtime];
    const user = this.viewer ?? {};
    this.console = new Program(path, [...listen, ...this.consoleOptions], { cwd: '/', ...user });
    const [, port] = await this.console.says(/http:\/\/127\.0\.0\.1:(\d+)/);
    this.port = Number(port);
    this.origin = `http://127.0.0.1:${port}`;
  }

  /* Where another user may start it: the build directory may be closed to them. */
  copyForAll(path) {
    const copy = join(this.dir, 'keybroker-console');
    copyFileSync(path, copy);
    chmodSync(copy, 0o755);
    return copy;
  }

  /* The newest address that lets a browser in. */
  address() {
    return this.console.said.match(/http:\/\/\S+/g).at(-1);
  }

  async stop() {
    for (const program of [this.console, this.vendor, this.broker]) await program?.end();
    rmSync(this.dir, { recursive: true, force: true });
    rmSync(this.runtime, { recursive: true, force: true });
  }

  /* ---- the command ---- */

  tell(words, input) {
    const env = { KEYBROKER_RUNTIME_DIR: this.runtime };
    return run(join(BUILD, 'keybroker'), ['-j', ...words.map(String)], { input, env });
  }

  /* `keybroker -j WORDS`, the payload on its standard input: the broker's JSON. */
  async cli(words, payload) {
    const input = typeof payload === 'object' ? JSON.stringify(payload) : payload;
    const { code, stdout, stderr } = await this.tell(words, input);
    if (code !== 0) throw new Error(`keybroker ${words.join(' ')}: ${stdout}${stderr}`);
    return JSON.parse(stdout);
  }

  /* A pool with keys named so; the first is its default key. */
  async makePool(pool, names, settings = []) {
    await this.cli(['add', 'pool', pool, 'vendor=openai', ...settings], secretOf(pool, names[0]));
    if (names[0] !== 'key1') await this.cli(['set', 'key', pool, 'key1', `name=${names[0]}`]);
    if (names.length === 1) return;
    const keys = names.slice(1).map((name) => ({ name, config: { api_key: secretOf(pool, name) } }));
    await this.cli(['import', pool, 'mode=merge'], { keys });
  }

  async keys(pool) {
    return (await this.cli(['show', 'keys', pool])).keys;
  }

  async order(pool) {
    return (await this.keys(pool)).map((key) => key.name).join(' ');
  }

  async key(pool, name) {
    return this.cli(['show', 'key', pool, name]);
  }

  async statusOf(pool, name) {
    return (await this.key(pool, name)).status;
  }

  /* ---- failures ---- */

  async standIn() {
    if (!this.vendor) {
      this.vendor = new Program(join(BUILD, 'vendor_standin'), []);
      const [url] = await this.vendor.says(/http:\/\/127\.0\.0\.1:\d+/);
      this.vendorUrl = url;
    }
    return this.vendorUrl;
  }

  /* The pool's keys are those of the stand-in from now on. */
  async useStandIn(pool) {
    await this.cli(['set', 'pool', pool, `base_url=${await this.standIn()}/openai/v1`]);
    for (const key of await this.keys(pool)) await this.answer(pool, key.name, 'success');
  }

  /* What the vendor says to that key: success, quota, rate, invalid … */
  async answer(pool, name, what) {
    const path = `/control/key?key=${secretOf(pool, name)}&answer=${what}`;
    await ask(this.vendorUrl, { method: 'POST', path });
  }

  /* One worker makes one request, and tells what the vendor said. */
  async work(pool) {
    const args = ['-r', this.runtime, '--requests', '1', '--patience', '1', '--seconds', '3', pool];
    return run(join(BUILD, 'examples/worker'), args);
  }

  async fail(pool, name, what) {
    await this.answer(pool, name, what);
    await this.work(pool);
  }
}

export function secretOf(pool, name) {
  return `sk-secret-of-${pool}-${Buffer.from(name).toString('hex')}`;
}

/* One HTTP request as it is given, with nothing that a browser would add. */
export function ask(origin, { method = 'GET', path = '/', headers = {}, body } = {}) {
  return new Promise((done, failed) => {
    const sent = request(new URL(path, origin), { method, headers, agent: false }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => {
        const bytes = Buffer.concat(pieces);
        done({ status: answer.statusCode, headers: answer.headers, bytes, text: bytes.toString() });
      });
    });
    sent.on('error', failed);
    sent.end(body);
  });
}

/* Why a test that needs it can't be run here, or false. */
export const notRoot = process.getuid() !== 0 && 'only root can run a console as another user';
