import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import test from 'node:test';
import { NetError } from '../backend/net/net-host.js';
import { CliError, exitStatus } from './exit-status.js';
import { netDevice, openNets } from './net-flags.js';

test('--net says what the card is and what is behind it', () => {
  assert.equal(netDevice('none'), undefined);
  assert.deepEqual(
    netDevice('user,mac=52:54:00:00:00:01,forward=tcp:127.0.0.1:2222:22,queues=2,restrict=on'),
    {
      name: 'virtio-net',
      options: Object.assign(Object.create(null), {
        mac: '52:54:00:00:00:01',
        queues: '2',
        net: 'user,forward=tcp:127.0.0.1:2222:22,restrict=on',
      }),
    },
  );
  const macs = [1, 2].map(() => netDevice('switch,name=lan')?.options.mac);
  assert.match(macs[0]!, /^52:54:00(:[\da-f]{2}){3}$/);
  assert.notEqual(macs[0], macs[1]);
});

test('what --net cannot mean is told with what would be right', () => {
  const wrong: [string, RegExp][] = [
    ['slirp', /found "slirp", wanted user or switch or tap or none/],
    ['user,hots=10.0.2.2', /found "hots=10\.0\.2\.2", wanted KEY=VALUE with one of host, /],
    ['user,restrict', /found "restrict", wanted KEY=VALUE/],
    ['user,restrict=yes', /restrict: found "yes", wanted on or off/],
    ['user,restrict=on,restrict=on', /restrict is given twice/],
    ['user,mac=1,mac=2', /mac is given twice/],
    ['user,host=10.0.2', /host: found "10\.0\.2", wanted an address such as 10\.0\.2\.2/],
    ['user,host=10.0.2.2/31', /found "\/31", wanted a prefix from \/8 to \/29/],
    [
      'user,guest=10.0.3.15',
      /guest: found 10\.0\.3\.15, wanted another address of 10\.0\.2\.2\/24/,
    ],
    ['user,dns=10.0.2.2', /dns: found 10\.0\.2\.2, wanted another address/],
    ['user,dns=10.0.2.15', /guest and dns are the same address/],
    ['user,host6=10.0.2.2', /host6: found "10\.0\.2\.2", wanted an address such as fec0::2/],
    ['user,dns6=fec1::3', /dns6 is not another address of the \/64/],
    ['user,hostname=a b', /hostname: found "a b"/],
    ['user,mtu=576', /mtu: found "576", wanted 1280 to 65499/],
    ['user,resolver=name', /resolver: found "name", wanted ADDRESS or ADDRESS:PORT/],
    ['user,forward=tcp:2222:22', /forward: found "tcp:2222:22", wanted tcp\|udp:HOST:PORT/],
    ['user,forward=tcp:127.0.0.1:0:22', /forward: found/],
    ['user,forward=tcp:127.0.0.1:65536:22', /forward: found/],
    ['user,forward=sctp:127.0.0.1:1:22', /forward: found/],
    ['switch', /name: found "", wanted up to 32 letters and digits, or path=FILE/],
    ['switch,name=a/b', /name: found "a\/b"/],
    [`switch,path=/${'x'.repeat(107)}`, /longer than the 107 bytes/],
    ['tap', /name: found "", wanted an interface such as tap0/],
    ['tap,name=0123456789abcdef', /name: found "0123456789abcdef"/],
  ];
  for (const [text, message] of wrong) {
    assert.throws(
      () => netDevice(text),
      (error) => {
        assert.ok(error instanceof CliError, text);
        assert.equal(error.status, exitStatus.usage);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});

test('every way to write a forward is understood', () => {
  const forwards = [
    'tcp::1:2',
    'udp:0.0.0.0:1:10.0.2.16:2',
    'tcp:[::1]:1:2',
    'tcp:[::1]:1:[fec0::9]:2',
  ];
  for (const forward of forwards) assert.ok(netDevice(`user,forward=${forward}`), forward);
});

test('a forward whose port is taken is named, and nothing stays open', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  const device = netDevice(
    `user,forward=udp:127.0.0.1:${port}:1,forward=tcp:127.0.0.1:${port}:22`,
  )!;
  await assert.rejects(openNets([device]), (error) => {
    assert.ok(error instanceof NetError && error.code === 'in-use');
    assert.match(error.message, new RegExp(`forward=tcp:127.0.0.1:${port}:22: something else has`));
    return true;
  });
  await new Promise((resolve) => other.close(resolve));
  const [net] = await openNets([device]);
  net?.close();
});
