import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { findTool, hostTools } from '#src/cli/image/host-tools.js';
import { ChassisProcess, chassis } from '../cli/chassis.js';
import { guestFile } from '../guests/guest-files.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-debian-'));
after(() => rmSync(folder, { recursive: true }));
// The image is the user's, as it takes a minute to make; the VM is not.
process.env.XDG_DATA_HOME = folder;
const image = 'debian-bookworm';
const disk = join(folder, 'chassis', 'vms', 'lab', 'disk.qcow2');

const skip = whatIsMissing();

function whatIsMissing(): string | false {
  try {
    hostTools();
  } catch (error) {
    return (error as Error).message;
  }
  const also = ['apt-get', 'dpkg-deb', 'ssh', 'ssh-keygen'].filter((name) => !findTool(name));
  return also.length > 0 && `found no ${also.join(', ')} on this host`;
}

/** A guest with a login on its console, be it of Chassis or of QEMU. */
interface Console {
  readonly out: string;
  printed(text: string, from?: number): Promise<void>;
  type(text: string): void;
}

/** Logs in, and answers what types a command and resolves to what it printed. */
async function logIn(guest: Console): Promise<(command: string) => Promise<string>> {
  await guest.printed('login: ');
  guest.type('ada\n');
  await guest.printed('Password: ');
  guest.type('secret\n');
  await guest.printed('$ ', guest.out.lastIndexOf('Password: '));
  const ask = async (command: string) => {
    const from = guest.out.length;
    guest.type(`${command}; echo "done"-\n`);
    await guest.printed('done-', from);
    return guest.out.slice(from);
  };
  await ask('bind "set enable-bracketed-paste off"; export PAGER=cat SYSTEMD_COLORS=0');
  return ask;
}

/** Warnings without what differs from run to run. */
const warnings = (text: string) =>
  text
    .split(/\r?\n/)
    .filter((line) => /^\[ *\d+\.\d+\] /.test(line))
    .map((line) => line.replace(/^\[ *[\d.]+\] /, '').replace(/\d+/g, 'N'));

const readWarnings = 'sudo dmesg --level=emerg,alert,crit,err,warn';

/** A repository of apt's on the host's loopback, made from packages of the host's sources. */
async function repository(packages: readonly string[]): Promise<number> {
  const state = guestFile('../apt/amd64');
  const options = [`Dir::State=${state}/state`, `Dir::State::status=${state}/status`];
  options.push(`Dir::Cache=${state}/cache`, 'APT::Sandbox::User=root');
  execFileSync(
    'apt-get',
    [...options.flatMap((option) => ['-o', option]), 'download', ...packages],
    { cwd: folder, stdio: 'pipe' },
  );
  const files = readdirSync(folder).filter((name) => name.endsWith('.deb'));
  const index = files.map((name) => {
    const control = execFileSync('dpkg-deb', ['-f', join(folder, name)], { encoding: 'utf8' });
    const data = readFileSync(join(folder, name));
    const hash = createHash('sha256').update(data).digest('hex');
    return `${control.trimEnd()}\nFilename: ./${name}\nSize: ${data.length}\nSHA256: ${hash}\n\n`;
  });
  const server = createServer((request, response) => {
    const name = decodeURIComponent(request.url!.split('/').at(-1)!);
    const data = name === 'Packages' ? index.join('') : undefined;
    if (data === undefined && !files.includes(name)) response.writeHead(404).end();
    else response.end(data ?? readFileSync(join(folder, name)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A port of this host that nobody has. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createTcpServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

let warned: readonly string[] = [];

test('a Debian is made, logged in to, gets a package, is reached by ssh and is there again', {
  skip,
  timeout: 1_200_000,
}, async (t) => {
  const key = join(folder, 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const port = await freePort();
  const run = [
    ...['run', 'debian', '--engine', 'soft', '--name', 'lab'],
    ...['--net', `user,forward=tcp:127.0.0.1:${port}:22`],
  ];
  const first = new ChassisProcess([
    ...run,
    ...['--user', 'ada', '--password', 'secret', '--hostname', 'lovelace'],
    ...['--ssh-key', `${key}.pub`],
  ]);
  t.after(() => first.signal('SIGKILL'));
  const ask = await logIn(first);
  assert.match(await ask('sudo systemctl is-system-running --wait'), /\brunning\r?\n/);
  assert.match(await ask('systemctl --failed'), /\b0 loaded units/);
  assert.match(await ask('hostname; id -un'), /lovelace\r?\nada\r?\n/);
  warned = warnings(await ask(readWarnings));

  const http = await repository(['sqlite3', 'libsqlite3-0', 'libreadline8', 'readline-common']);
  const only = '-o Dir::Etc::sourcelist=/etc/apt/lab.list -o Dir::Etc::sourceparts=-';
  await ask(`echo "deb [trusted=yes] http://10.0.2.2:${http} ./" | sudo tee /etc/apt/lab.list`);
  assert.doesNotMatch(await ask(`sudo apt-get ${only} update`), /^[EW]:/m);
  const install = `sudo DEBIAN_FRONTEND=noninteractive apt-get ${only} install -y sqlite3`;
  assert.match(await ask(install), /Setting up sqlite3/);
  const query = 'sqlite3 kept.db "create table t(a); insert into t values(6*7); select a from t"';
  assert.match(await ask(query), /\b42\r?\n/);

  const ssh = spawn(
    'ssh',
    [
      ...['-i', key, '-p', String(port), '-o', 'StrictHostKeyChecking=no', '-o', 'BatchMode=yes'],
      ...['-o', `UserKnownHostsFile=${folder}/known`, '-o', 'ConnectTimeout=60'],
      ...['ada@127.0.0.1', 'uname -m; sqlite3 kept.db "select a + 1 from t"'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let answer = '';
  ssh.stdout.setEncoding('utf8').on('data', (text) => {
    answer += text;
  });
  assert.equal(await new Promise((resolve) => ssh.on('close', resolve)), 0);
  assert.equal(answer, 'x86_64\n43\n');
  first.type('sudo poweroff\n');
  assert.equal((await first.ended).status, 0);

  const second = new ChassisProcess(run);
  t.after(() => second.signal('SIGKILL'));
  const again = await logIn(second);
  assert.match(await again('sqlite3 kept.db "select a from t"'), /\b42\r?\n/);
  assert.match(await again('cloud-init status'), /status: disabled/, 'it had its seed');
  assert.match(await again('systemctl --failed'), /\b0 loaded units/);
  second.type('sudo poweroff\n');
  assert.equal((await second.ended).status, 0);

  assert.equal((await chassis('disk', 'check', `${disk},format=qcow2`)).status, 0);
  if (!findTool('qemu-img')) return;
  const checked = execFileSync('qemu-img', ['check', disk], { encoding: 'utf8' });
  assert.match(checked, /No errors were found/);
});

const qemu = 'qemu-system-x86_64';

test('no warning of the kernel is there that QEMU’s boot of the same disk does not have', {
  skip: skip || (!findTool(qemu) && `no ${qemu} to compare with`),
  timeout: 600_000,
}, async (t) => {
  if (!existsSync(disk)) return t.skip('the first test made no disk');
  const { kernel, initrd } = JSON.parse((await chassis('image', 'inspect', image, '--json')).out);
  const guest = new ChassisProcess(
    [
      ...['-accel', 'tcg', '-m', '1024', '-display', 'none', '-no-reboot', '-monitor', 'none'],
      ...['-kernel', kernel, '-initrd', initrd, '-append'],
      'root=/dev/vda1 ro console=ttyS0 console=hvc0 loglevel=4',
      ...['-drive', `file=${disk},format=qcow2,if=virtio`, '-nic', 'user,model=virtio'],
      ...['-serial', 'null', '-device', 'virtio-serial-pci', '-device', 'virtio-rng-pci'],
      ...['-chardev', 'stdio,id=c,signal=off', '-device', 'virtconsole,chardev=c'],
    ],
    { path: findTool(qemu)! },
  );
  t.after(() => guest.signal('SIGKILL'));
  const ask = await logIn(guest);
  const theirs = new Set(warnings(await ask(readWarnings)));
  guest.type('sudo poweroff\n');
  assert.equal((await guest.ended).status, 0);
  assert.deepEqual(
    warned.filter((line) => !theirs.has(line)),
    [],
  );
});
