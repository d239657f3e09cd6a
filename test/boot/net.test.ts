import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import test, { type TestContext } from 'node:test';
import { closeNets, netDevice, openNets } from '#src/cli/net-flags.js';
import { loadMachine } from '#src/machine/snapshot.js';
import { testHost } from '../machine/rig.js';
import { boot, engine, options, use } from './virtio-guest.js';

async function portOf(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test(
  'Linux has an address, pings and gets a file through the NAT, and a saved one sees resets',
  options,
  async (t) => {
    const data = randomBytes(4 << 20);
    const http = createHttpServer((_, response) => response.end(data));
    const url = `http://10.0.2.2:${await portOf(t, http)}/`;
    let connections = 0;
    const echo = createServer((socket) => {
      connections++;
      socket.on('error', () => {}).pipe(socket);
    });
    const echoPort = await portOf(t, echo);
    const devices = [netDevice('user,hostname=inside')!];
    const nets = await openNets(devices);
    t.after(() => closeNets(nets));
    const before = await boot(t, devices, { nets });
    const { ask } = before;
    const lines = [
      '[ -n "$ip" ] || exit 0',
      'ifconfig $interface $ip netmask $subnet',
      'route add default gw $router',
      'echo "$dns $hostname" > /tmp/lease',
    ];
    await ask(`echo '#!/bin/sh' > /tmp/s; chmod +x /tmp/s`);
    for (const line of lines) await ask(`echo '${line}' >> /tmp/s`);
    await ask('ifconfig eth0 up; udhcpc -i eth0 -n -q -s /tmp/s');
    assert.match(await ask('cat /tmp/lease'), /\n10\.0\.2\.3 inside/);
    assert.match(await ask('ping -c 3 -i 0.1 10.0.2.2'), /3 packets received, 0% packet loss/);
    const digest = createHash('md5').update(data).digest('hex');
    assert.match(await ask(`wget -q -O - ${url} | md5sum`), new RegExp(digest));
    await ask(
      `sh -c 'while sleep 0.1; do echo x; done | nc 10.0.2.2 ${echoPort} > /tmp/echo; echo over > /tmp/over' & true`,
    );
    await ask('until [ -s /tmp/echo ]; do sleep 0.1; done');
    assert.equal(connections, 1);
    await before.stop();
    const saved = before.machine.save();
    closeNets(nets);

    const again = await openNets(devices);
    t.after(() => closeNets(again));
    const { host, serial } = testHost(engine);
    const loaded = loadMachine({ name: 'saved', data: saved }, { ...host, nets: again });
    const after = use(t, loaded, serial);
    await after.ask('until [ -s /tmp/over ]; do sleep 0.1; done');
    assert.equal(connections, 1);
    assert.match(await after.ask(`wget -q -O - ${url} | md5sum`), new RegExp(digest));
    await after.end();
  },
);
