import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { engines } from '../engine/engines.js';
import { echoGuest } from '../guests/echo-guest.js';
import { ChassisProcess, chassisPath } from './chassis.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-console-'));
after(() => rmSync(folder, { recursive: true }));

const kernel = join(folder, 'echo.bin');
writeFileSync(kernel, echoGuest);

const runEcho = ['run', '--memory', '16M', '--device', 'isa-debug-exit', '--kernel', kernel];

for (const { name, skip } of engines) {
  test(`${name}: what is typed reaches the guest, and isa-debug-exit says the status`, {
    skip,
  }, async () => {
    const guest = new ChassisProcess([...runEcho, '--engine', name]);
    guest.type('hello\n');
    await guest.printed('hello\n');
    guest.type('q');
    assert.deepEqual(await guest.ended, { status: (5 << 1) | 1, out: 'hello\nq', err: '' });
  });
}

test('a page of pasted text arrives whole, although the FIFO holds 16 bytes', async () => {
  const text = Array.from({ length: 500 }, (_, i) => `line ${i}\n`).join('');
  const guest = new ChassisProcess(runEcho);
  guest.type(`${text}q`);
  const { status, out } = await guest.ended;
  assert.equal(status, 11);
  assert.equal(out, `${text}q`);
});

test('the end of input does not end the guest; SIGTERM does, with 128 and its number', async () => {
  const guest = new ChassisProcess(runEcho);
  guest.type('bye');
  guest.endInput();
  await guest.printed('bye');
  const early = await Promise.race([
    guest.ended,
    new Promise((resolve) => setTimeout(resolve, 300, 'still running')),
  ]);
  assert.equal(early, 'still running');
  guest.signal('SIGTERM');
  assert.equal((await guest.ended).status, 128 + 15);
});

test('a triple fault ends with 75 and a report of the registers', async () => {
  const guest = new ChassisProcess(runEcho);
  guest.type('t');
  const { status, err } = await guest.ended;
  assert.equal(status, 75);
  assert.match(err, /^chassis: the guest crashed: triple fault\n/);
  assert.match(err, /rip=0000000000100/);
});

test('the serial port goes to a file or nowhere', async () => {
  const log = join(folder, 'serial.log');
  const guest = new ChassisProcess([...runEcho, '--serial', `file:${log}`]);
  for (let i = 0; i < 100 && !existsSync(log); i++) await new Promise((r) => setTimeout(r, 50));
  guest.signal('SIGTERM');
  assert.equal((await guest.ended).out, '');
  assert.equal(readFileSync(log, 'utf8'), '');
});

test('a machine is saved at its end and goes on where it was', async () => {
  const saved = join(folder, 'saved.chassis');
  const first = new ChassisProcess([...runEcho, '--save-on-exit', saved]);
  first.type('abc');
  await first.printed('abc');
  first.signal('SIGTERM');
  assert.equal((await first.ended).status, 128 + 15);
  const second = new ChassisProcess(['run', '--load', saved]);
  second.type('defq');
  assert.deepEqual(await second.ended, { status: 11, out: 'defq', err: '' });
});

const script = '/usr/bin/script';

test('on a terminal Ctrl-C is the guest’s, Ctrl-A x ends with 0, and the terminal is as it was', {
  skip: !existsSync(script) && `no ${script} to make a terminal with`,
}, async () => {
  // Without the terminal's own echo, all that comes back is the guest's.
  const command =
    `stty -echo; echo silent; ${chassisPath} ${runEcho.join(' ')}; echo "status=$?"; ` +
    'stty -a | grep -Eo -- "-?(icanon|isig|echo) " | tr -d "\\n"; echo "|"';
  const child = spawn(script, ['-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  const until = async (text: string) => {
    for (let i = 0; i < 200 && !out.includes(text); i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(out.includes(text), `no ${JSON.stringify(text)} in ${JSON.stringify(out)}`);
  };
  await until('silent');
  for (let i = 0; i < 100 && !out.includes('~'); i++) {
    child.stdin.write('~');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  child.stdin.write('a\x03b');
  await until('a\x03b');
  child.stdin.write('\x01h');
  await until('end the machine');
  child.stdin.write('\x01x');
  await until('|');
  assert.match(out, /status=0/);
  assert.match(out, /\bisig icanon -echo \|/);
});
