import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { ChassisProcess, chassis, chassisPath } from './chassis.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-cli-'));
after(() => rmSync(folder, { recursive: true }));

/** A file of the test's, by its path. */
function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Nothing that boots. */
const kernel = file('text', 'x');

test('the launcher works from any folder and through a symbolic link', async () => {
  const link = join(folder, 'linked-chassis');
  symlinkSync(chassisPath, link);
  const { status, out } = await new ChassisProcess(['--version'], { path: link, cwd: '/' }).ended;
  assert.equal(status, 0);
  assert.match(out, /^chassis \d+\.\d+\.\d+\n$/);
});

test('help lists the commands and each command lists its flags', async () => {
  const { status, out } = await chassis('help');
  assert.equal(status, 0);
  for (const verb of ['run', 'inspect', 'doctor', 'disasm', 'version'])
    assert.match(out, new RegExp(verb));
  const run = await chassis('run', '--help');
  assert.equal(run.status, 0);
  for (const flag of ['engine', 'kernel', 'save-on-exit', 'trace']) {
    assert.match(run.out, new RegExp(`--${flag} `));
  }
  for (const verb of ['run', 'inspect', 'doctor', 'disasm']) {
    const { out } = await chassis(verb, '--help');
    assert.match(out, new RegExp(`\nExamples?:\n  chassis ${verb} `));
  }
});

test('a reader of traces that went away does not end the guest', async () => {
  const bios = file('halting-bios', new Uint8Array(65536).fill(0xf4));
  const run = new ChassisProcess(['run', '--firmware', bios, '--trace', 'exits,io']);
  run.closeErrors();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  run.signal('SIGTERM');
  assert.equal((await run.ended).status, 128 + 15);
});

const usage: readonly [string, RegExp, ...string[]][] = [
  ['no command', /usage: chassis COMMAND/],
  ['an unknown command', /unknown command "rnu"; did you mean run\?/, 'rnu'],
  ['an unknown flag', /unknown flag --memroy; did you mean --memory\?/, 'run', '--memroy', '1G'],
  ['a bad size', /--memory: found "lots", wanted a size/, 'run', '--memory', 'lots'],
  ['a bad engine', /--engine: found "fast", wanted auto or soft or kvm/, 'run', '--engine', 'fast'],
  ['a bad board', /--machine: found "q35", wanted pc/, 'run', '--machine', 'q35'],
  [
    'several CPUs',
    /--cpus: found 2, but more than 1 is not there yet with the soft engine/,
    ...['run', '--engine', 'soft', '--firmware', 'package.json', '--cpus', '2'],
  ],
  ['a bad CPU model', /--cpu: found "386", wanted host or common or/, 'run', '--cpu', '386'],
  ['a bad serial', /--serial: found "tcp", wanted stdio, none or file:/, 'run', '--serial', 'tcp'],
  ['a bad trace', /--trace: found "x", wanted exits/, 'run', '--trace', 'x'],
  ['a kernel without its flag', /found "vmlinuz", wanted flags only/, 'run', 'vmlinuz'],
  ['nothing to run', /--kernel/, 'run'],
];

for (const [what, message, ...args] of usage) {
  test(`usage: ${what} is one message and status 64`, async () => {
    const { status, err } = await chassis(...args);
    assert.match(err, message);
    assert.doesNotMatch(err, /\n\s+at /, 'no stack trace');
    assert.equal(status, 64);
  });
}

/** Some user who may not open /dev/kvm, or why there is none here. */
function stranger(): { uid: number } | { skip: string } {
  const nobody = 65534;
  if (process.getuid?.() !== 0) return { skip: 'only root can become somebody else' };
  const may = statSync('/dev/kvm', { throwIfNoEntry: false });
  if (may !== undefined && (may.mode & 0o006) === 0o006) return { skip: 'all may open /dev/kvm' };
  const { status } = spawnSync(chassisPath, ['version'], { uid: nobody, gid: nobody });
  return status === 0 ? { uid: nobody } : { skip: 'nobody else may read this repository' };
}

test('an engine that is not there ends with 69', (t) => {
  const who = stranger();
  if ('skip' in who) return t.skip(who.skip);
  const { status, stderr } = spawnSync(
    chassisPath,
    ['run', '--engine', 'kvm', '--kernel', kernel],
    {
      encoding: 'utf8',
      uid: who.uid,
      gid: who.uid,
    },
  );
  assert.equal(status, 69);
  assert.match(stderr, /^chassis: --engine kvm: \/dev\/kvm .*--engine soft works everywhere\n$/);
});

test('auto says which engine it took, when it is asked for by name', async () => {
  const { err } = await chassis('run', '--engine', 'auto', '--kernel', kernel);
  assert.match(err, /^chassis: engine (soft|kvm): /);
  assert.doesNotMatch((await chassis('run', '--kernel', kernel)).err, /engine/);
});

test('doctor says what this host can do, and as JSON the same', async () => {
  const { status, out } = await chassis('doctor');
  assert.equal(status, 0);
  for (const name of ['soft', 'kvm', 'auto', 'Node', 'cores', 'memory', 'KVM device']) {
    assert.match(out, new RegExp(`^ .*${name} `, 'm'));
  }
  const json = JSON.parse((await chassis('doctor', '--json')).out);
  assert.deepEqual(json.engines.soft, { works: true, why: 'works' });
  assert.equal(json.host.node.version, process.versions.node);
  for (const { status, fix } of json.findings) assert.equal(fix === undefined, status === 'ok');
  assert.equal((await chassis('doctor', 'kvm')).status, 64);
});

/** Each ends with 65 and one sentence that names the file or flag. */
const badInput: readonly [string, RegExp, () => string[]][] = [
  [
    'no such kernel',
    /--kernel: cannot read \/no\/such: there is no such file/,
    () => ['--kernel', '/no/such'],
  ],
  ['a folder as kernel', /--kernel: cannot read .*: it is a folder/, () => ['--kernel', folder]],
  ['an empty kernel', /empty-kernel/, () => ['--kernel', file('empty-kernel', '')]],
  [
    'a text as kernel',
    /text-kernel/,
    () => ['--kernel', file('text-kernel', 'hello\n'.repeat(500))],
  ],
  [
    'firmware of a wrong size',
    /odd-bios/,
    () => ['--firmware', file('odd-bios', 'x'.repeat(1000))],
  ],
  [
    'no RAM',
    /--memory/,
    () => ['--memory', '0', '--firmware', file('bios', new Uint8Array(65536))],
  ],
  [
    '1 MiB of RAM',
    /--memory/,
    () => ['--memory', '1M', '--firmware', file('bios', new Uint8Array(65536))],
  ],
  [
    'RAM of half a page',
    /--memory/,
    () => ['--memory', '67110912', '--firmware', file('bios', new Uint8Array(65536))],
  ],
  [
    'more RAM than the engine has',
    /--memory.*GiB/,
    () => ['--memory', '64G', '--firmware', file('bios', new Uint8Array(65536))],
  ],
  ['an empty snapshot', /empty-snapshot/, () => ['--load', file('empty-snapshot', '')]],
  [
    'a snapshot to nowhere',
    /--save-on-exit: cannot write \/no\/such\/file/,
    () => ['--save-on-exit', '/no/such/file', '--kernel', file('k', 'x')],
  ],
  [
    'a debug console to nowhere',
    /--debugcon: cannot write/,
    () => ['--debugcon', '/no/such/file', '--kernel', file('k', 'x')],
  ],
];

for (const [what, message, args] of badInput) {
  test(`bad input: ${what} is one sentence and status 65`, async () => {
    const { status, err } = await chassis('run', ...args());
    assert.match(err, message);
    assert.doesNotMatch(err, /\n\s+at /, 'no stack trace');
    assert.equal(err.trimEnd().split('\n').length, 1, err);
    assert.equal(status, 65);
  });
}

test('disasm beyond the end of its bytes is a usage error', async () => {
  const { status, err } = await chassis('disasm', '--hex', '90 90', '--offset', '2');
  assert.equal(status, 64);
  assert.match(err, /--offset: found 2, wanted less than the 2 bytes/);
});

test('inspect shows a board that has nothing to boot', async () => {
  const { status, out } = await chassis('inspect', '--memory', '64M');
  assert.equal(status, 0);
  assert.match(out, /64 MiB of RAM/);
  assert.match(out, /8086:1237 .* i440fx/);
});

test('inspect shows devices, PCI functions and memory, and as JSON the same', async () => {
  const bios = file('bios', new Uint8Array(65536));
  const { status, out } = await chassis('inspect', '--memory', '64M', '--firmware', bios);
  assert.equal(status, 0);
  assert.match(out, /machine pc, engine soft, 1 CPU, 64 MiB of RAM/);
  assert.match(out, /00:00\.0 {2}8086:1237 .* i440fx/);
  assert.match(out, /port {2}03f8-03ff .* registers/);
  const json = await chassis('inspect', '--memory', '64M', '--firmware', bios, '--json');
  assert.equal(json.status, 0);
  const inspection = JSON.parse(json.out);
  assert.equal(inspection.memoryBytes, 64 * 2 ** 20);
  assert.ok(inspection.devices.some(({ name }: { name: string }) => name === 'com1'));
});

test('disasm shows the code of a file, from an offset and at an address', async () => {
  const code = file('code', Uint8Array.of(0xff, 0x48, 0x89, 0xc3, 0xc3));
  const { status, out } = await chassis('disasm', '--offset', '1', '--address', '0x1000', code);
  assert.equal(status, 0);
  assert.match(out, /^ {4}1000: {2}48 89 c3 +mov +rbx,rax\n {4}1003: {2}c3 +ret\n$/);
  const real = await chassis('disasm', '--mode', '16', '--hex', 'b8 34 12');
  assert.match(real.out, /mov +ax,0x1234/);
  assert.equal((await chassis('disasm')).status, 64);
  assert.equal((await chassis('disasm', '--hex', 'xyz')).status, 64);
});
