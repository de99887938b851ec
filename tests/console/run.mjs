/*
 * Runs test files by node's own test runner, two at a time, shows what failed and why, and says for
 * each file how it went, in the words of the other tests' summaries.
 *
 *     node run.mjs FILE...
 */
import { run } from 'node:test';
import { basename, resolve } from 'node:path';

const TIMEOUT_MS = 300 * 1000; /* of a file */

const files = new Map(process.argv.slice(2).map((path) => [nameOf(path), { path, pass: 0, fail: 0, skip: 0, ms: 0 }]));

function nameOf(path) {
  return basename(path, '.mjs').replace(/^test_/, 'test_console_');
}

function fileOf({ file, name }) {
  return files.get(nameOf(file ?? name));
}

function show({ name, file, details }) {
  const error = details.error?.cause ?? details.error;
  console.log(`  FAILED  ${nameOf(file ?? name)}: ${name}`);
  console.log(String(error?.stack ?? error).replace(/^/gm, '    '));
}

const stream = run({
  files: [...files.values()].map((file) => resolve(file.path)),
  concurrency: 2,
  timeout: TIMEOUT_MS,
});
stream.on('test:pass', (test) => {
  const file = fileOf(test);
  file.ms += test.details.duration_ms;
  if (test.skip === undefined) file.pass++;
  else file.skip++;
  if (test.skip !== undefined) console.log(`  skipped ${nameOf(test.file)}: ${test.name}: ${test.skip}`);
});
stream.on('test:fail', (test) => {
  const file = fileOf(test);
  file.ms += test.details.duration_ms;
  file.fail++;
  show(test);
});
for (const output of ['test:stdout', 'test:stderr'])
  stream.on(output, ({ message }) => process.stdout.write(message));
stream.on('end', () => {
  for (const [name, { pass, fail, skip, ms }] of files) {
    if (!pass && !skip && !fail) process.exitCode = 1;
    if (fail) process.exitCode = 1;
    const counts = `Tested: ${pass + fail} | Passing: ${pass} | Failing: ${fail} | Crashing: 0`;
    console.log(`  ${name.padEnd(28)} ${counts} (${Math.round(ms / 1000)} s)`);
  }
});
stream.resume();
