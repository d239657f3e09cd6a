import assert from 'node:assert/strict';
import test from 'node:test';
import { describeFlags, type FlagTable, parseArgs, parseNumber, parseSize } from './args.js';
import { CliError, exitStatus } from './exit-status.js';

const table: FlagTable = {
  memory: { value: 'SIZE', help: 'how much' },
  device: { value: 'NAME', repeatable: true, help: 'one more' },
  json: { help: 'a switch' },
};

function fails(work: () => unknown, message: RegExp): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof CliError);
    assert.equal(error.status, exitStatus.usage);
    assert.match(error.message, message);
    return true;
  });
}

test('flags come with a space or an equals sign, switches alone, the rest is positional', () => {
  const args = parseArgs(['--memory', '1G', '--device=a,b=c', 'x', '--json', '--', '--y'], table);
  assert.equal(args.one('memory'), '1G');
  assert.deepEqual(args.all('device'), ['a,b=c']);
  assert.ok(args.has('json'));
  assert.deepEqual(args.positional, ['x', '--y']);
});

test('each usage error names the flag, what was found and what would be right', () => {
  fails(() => parseArgs(['--memry', '1G'], table), /unknown flag --memry; did you mean --memory\?/);
  fails(() => parseArgs(['-memory', '1G'], table), /unknown flag -memory; did you mean --memory/);
  fails(() => parseArgs(['--constructor'], table), /unknown flag --constructor$/);
  fails(() => parseArgs(['--memory'], table), /--memory wants a value: --memory SIZE/);
  fails(() => parseArgs(['--memory', '1', '--memory', '2'], table), /--memory is given twice/);
  fails(() => parseArgs(['--json=yes'], table), /--json takes no value, found "yes"/);
});

test('sizes have binary units', () => {
  assert.equal(parseSize('--memory', '512M'), 512 * 2 ** 20);
  assert.equal(parseSize('--memory', '1g'), 2 ** 30);
  assert.equal(parseSize('--memory', '2GiB'), 2 ** 31);
  assert.equal(parseSize('--memory', '4096'), 4096);
  for (const bad of ['', 'M', '-1', '1.5G', '1X', '0x10', '1e9', '9999999999999999']) {
    fails(() => parseSize('--memory', bad), /--memory: found ".*", wanted a size such as 512M/);
  }
});

test('numbers are decimal or hexadecimal and within their limits', () => {
  assert.equal(parseNumber('--base', '0x7c00', 0, 0xffff), 0x7c00);
  assert.equal(parseNumber('--cpus', '1', 1, 255), 1);
  for (const bad of ['', '0', '256', '1.0', 'x', ' 1']) {
    fails(() => parseNumber('--cpus', bad, 1, 255), /--cpus: found ".*", wanted a number from 1/);
  }
});

test('the help lists every flag with its value', () => {
  assert.match(describeFlags(table), /^ {2}--memory SIZE {2}how much\n/);
});
