import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { accessSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import type { NetBackend } from '#src/backend/net/guest-port.js';
import { openTap } from '#src/backend/node/host-tap.js';
import { netDevice, openNets } from '#src/cli/net-flags.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';

/**
 * The NAT against Linux's own stack: a network namespace is the guest, a TAP its card, busybox its programs.
 */

const space = `chassis-${process.pid}`;
const card = `ch${process.pid}`;

function missing(): string | false {
  if (process.getuid?.() !== 0) return 'only root makes network namespaces';
  const guests = needsGuests('busybox-amd64').skip;
  if (guests !== false) return guests;
  try {
    accessSync('/dev/net/tun');
    execFileSync('ip', ['netns', 'add', space], { stdio: 'pipe' });
    execFileSync('ip', ['netns', 'delete', space], { stdio: 'pipe' });
    return false;
  } catch (error) {
    return `no TAP in a network namespace here: ${String(error).split('\n')[0]}`;
  }
}

const skip = missing();
const options = { skip, timeout: 60_000 };
const has = (tool: string) =>
  ['/usr/bin', '/usr/sbin'].some((path) => existsSync(`${path}/${tool}`));
const folder = mkdtempSync(join(tmpdir(), 'chassis-net-'));
const capture = join(folder, 'traffic.pcap');

let tap: NetBackend;
let net: NetBackend;

/** What a command in the guest's namespace prints; fails where it does. */
function guest(command: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('ip', ['netns', 'exec', space, command, ...args], { stdio: 'pipe' });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        text += bytes;
      });
    }
    child.on('close', (status) => {
      if (status === 0) resolve(text);
      else reject(new Error(`${command} ${args.join(' ')}: status ${status}\n${text}`));
    });
  });
}
const busybox = (...args: string[]) => guest(guestFile('busybox-amd64'), ...args);

/** A free port of the host. */
async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.on('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const names = createSocket('udp4');
const forwarded: number[] = [];

before(async () => {
  if (skip !== false) return;
  execFileSync('ip', ['netns', 'add', space]);
  tap = openTap(card);
  const ip = (...args: string[]) => execFileSync('ip', args);
  ip('link', 'set', card, 'netns', space);
  ip('-n', space, 'link', 'set', card, 'name', 'eth0', 'address', '52:54:00:12:34:56');
  ip('-n', space, 'link', 'set', 'lo', 'up');
  ip('-n', space, 'link', 'set', 'eth0', 'up');
  await new Promise<void>((resolve) => names.bind(0, '127.0.0.1', resolve));
  // Every name is 192.0.2.77.
  names.on('message', (query, { port, address }) => {
    const end = query.indexOf(0, 12) + 5;
    const head = Buffer.from(query.subarray(0, end));
    head.writeUInt16BE(0x8180, 2);
    const isV4 = query.readUInt16BE(end - 4) === 1;
    head.set([0, 1, 0, isV4 ? 1 : 0, 0, 0, 0, 0], 4);
    const answer = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 77];
    names.send(Buffer.concat([head, Buffer.from(isV4 ? answer : [])]), port, address);
  });
  forwarded.push(await freePort(), await freePort());
  const device = netDevice(
    `user,pcap=${capture},resolver=127.0.0.1:${names.address().port},` +
      `forward=tcp:127.0.0.1:${forwarded[0]}:22,forward=udp::${forwarded[1]}:23`,
  );
  [net] = (await openNets([device!])) as [NetBackend];
  tap.connect({
    accepts: () => true,
    receive: (frame, header) => {
      net.send(frame, header!);
      return true;
    },
  });
  net.connect({
    accepts: () => true,
    receive: (frame, header) => {
      tap.send(frame, header!);
      return true;
    },
  });
  const script = join(folder, 'lease');
  const lines = ['ip addr add $ip/$mask dev $interface', 'ip route add default via $router'];
  const tests = ['[ -n "$ip" ] || exit 0', ...lines, 'echo "dns $dns mtu $mtu"'];
  writeFileSync(script, `#!/bin/sh\n${tests.join('\n')}\n`, { mode: 0o755 });
  const said = await busybox('udhcpc', '-i', 'eth0', '-n', '-q', '-s', script);
  assert.match(said, /lease of 10\.0\.2\.15 obtained from 10\.0\.2\.2/);
  assert.match(said, /dns 10\.0\.2\.3 mtu 1500/);
});

after(() => {
  if (skip === false) {
    names.close();
    net.close();
    tap.close();
    execFileSync('ip', ['netns', 'delete', space]);
  }
  rmSync(folder, { recursive: true });
});

test('Linux pings the gateway by both versions', options, async () => {
  assert.match(await busybox('ping', '-c', '2', '-i', '0.1', '10.0.2.2'), /2 packets received/);
  assert.match(await busybox('ping', '-c', '1', '-s', '5000', '10.0.2.2'), /1 packets received/);
  // The address is one that the guest made of what the router said; it tries first whether it is free.
  for (let text = ''; !/fec0::/.test(text) || /tentative/.test(text); ) {
    text = await guest('ip', '-6', 'addr');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert.match(
    await busybox('ping', '-6', '-c', '1', '-s', '5000', 'fec0::2'),
    /1 packets received/,
  );
  await assert.rejects(busybox('ping', '-c', '1', '-W', '1', '192.0.2.1'), /0 packets received/);
});

test(
  'Linux gets and puts a file by both versions, and what comes is what was sent',
  options,
  async () => {
    const data = randomBytes(24 << 20);
    const digest = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');
    const posted: Buffer[] = [];
    const server = createServer((request, response) => {
      request.on('data', (bytes) => posted.push(bytes));
      request.on('end', () => response.end(request.method === 'POST' ? 'thanks' : data));
    });
    const file = join(folder, 'file');
    for (const [address, gateway] of [
      ['127.0.0.1', '10.0.2.2'],
      ['::1', '[fec0::2]'],
    ] as const) {
      await new Promise<void>((resolve) => server.listen(0, address, resolve));
      const url = `http://${gateway}:${(server.address() as AddressInfo).port}/`;
      await busybox('wget', '-q', '-O', file, url);
      assert.equal(digest(readFileSync(file)), digest(data));
      posted.length = 0;
      const put = `const { request } = require('http');
      const to = request('${url}', { method: 'POST' }, (answer) => answer.pipe(process.stdout));
      require('fs').createReadStream('${file}').pipe(to);`;
      assert.equal(await guest(process.execPath, '-e', put), 'thanks');
      assert.equal(digest(Buffer.concat(posted)), digest(data));
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await assert.rejects(busybox('wget', '-q', '-O', '-', url), /[Cc]onnection refused/);
    }
  },
);

test('Linux asks for names', options, async () => {
  assert.match(await busybox('nslookup', 'a.example', '10.0.2.3'), /192\.0\.2\.77/);
  assert.match(await busybox('nslookup', 'a.example', 'fec0::3'), /192\.0\.2\.77/);
});

test('what comes to a forwarded port is answered by Linux', options, async () => {
  const echo = `require('net').createServer({ allowHalfOpen: true }, (s) => s.pipe(s)).listen(22);
    const u = require('dgram').createSocket('udp4').bind(23);
    u.on('message', (m, { port, address }) => u.send(m, port, address));
    process.stdin.on('end', () => process.exit()).resume();`;
  const server = spawn('ip', ['netns', 'exec', space, process.execPath, '-e', echo]);
  await busybox('sleep', '1');
  const data = randomBytes(8 << 20);
  const socket = connect(forwarded[0]!, '127.0.0.1');
  socket.end(data);
  const pieces: Buffer[] = [];
  for await (const bytes of socket) pieces.push(bytes);
  assert.ok(Buffer.concat(pieces).equals(data));

  const datagrams = createSocket('udp4');
  const answer = new Promise<Buffer>((resolve) => datagrams.on('message', resolve));
  datagrams.send(data.subarray(0, 4000), forwarded[1]!, '127.0.0.1');
  assert.ok(data.subarray(0, 4000).equals(await answer));
  datagrams.close();
  server.stdin.end();
});

test('iperf3 measures both ways', {
  ...options,
  skip: skip || (!has('iperf3') && 'no iperf3'),
}, async () => {
  const port = String(await freePort());
  const server = spawn('iperf3', ['-s', '-1', '-p', port, '-B', '127.0.0.1'], { stdio: 'ignore' });
  await busybox('sleep', '0.5');
  assert.match(
    await guest('iperf3', '-c', '10.0.2.2', '-p', port, '-t', '1'),
    /bits\/sec.*receiver/,
  );
  server.kill();
  const again = spawn('iperf3', ['-s', '-1', '-p', port, '-B', '127.0.0.1'], { stdio: 'ignore' });
  await busybox('sleep', '0.5');
  assert.match(
    await guest('iperf3', '-c', '10.0.2.2', '-p', port, '-t', '1', '-R'),
    /bits\/sec.*receiver/,
  );
  again.kill();
});

test('tcpdump finds nothing wrong with what went over the wire', {
  ...options,
  skip: skip || (!has('tcpdump') && 'no tcpdump'),
}, async () => {
  await new Promise(setImmediate);
  const text = execFileSync('tcpdump', ['-n', '-v', '-c', '3000', '-r', capture], {
    encoding: 'utf8',
    stdio: 'pipe',
    maxBuffer: 1 << 28,
  });
  assert.match(text, /BOOTP\/DHCP, Reply/);
  assert.match(text, /router advertisement/);
  const wrong = /.*\b(bad|incorrect|malformed|truncated|invalid)\b.*/i.exec(text);
  assert.equal(wrong?.[0], undefined);
});
