import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import type { NetBackend } from '#src/backend/net/guest-port.js';
import { openSwitch } from '#src/backend/node/host-switch.js';
import { plainPacket } from '#src/virtio/net/packets.js';

/** A machine on the switch: frames from one to another have their numbers as addresses. */
class Member {
  got: number[] = [];
  /** What the card has room for. */
  room = Number.POSITIVE_INFINITY;

  constructor(
    readonly net: NetBackend,
    private readonly number: number,
  ) {
    net.connect({
      accepts: () => true,
      receive: (frame) => {
        if (this.got.length >= this.room) return false;
        this.got.push(frame[14]!);
        return true;
      },
    });
  }

  send(to: number, value: number): void {
    const head = [2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, this.number, 8, 0, value];
    this.net.send(Uint8Array.from([...head, ...new Uint8Array(1400)]), plainPacket);
  }
}

function switchPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-switch-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, 'lan.sock');
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** One sends to the other until it gets there. */
async function reaches(from: Member, to: Member, number: number): Promise<void> {
  to.got = [];
  const timer = setInterval(() => from.send(number, 7), 20);
  await until(() => to.got.includes(7));
  clearInterval(timer);
}

function closeAll(members: readonly Member[]): void {
  for (const { net } of members) net.close();
}

const options = { timeout: 20_000 };

test(
  'members of a switch reach each other, also when the one that served leaves',
  options,
  async (t) => {
    const path = switchPath(t);
    const members: Member[] = [];
    for (const number of [1, 2, 3, 4]) members.push(new Member(await openSwitch(path), number));
    const [one, two, three, four] = members as [Member, Member, Member, Member];
    t.after(() => closeAll(members));
    await reaches(one, two, 2);
    await reaches(two, three, 3);
    await reaches(three, one, 1);
    one.net.close();
    await reaches(two, four, 4);
    await reaches(four, three, 3);
    two.net.close();
    await reaches(four, three, 3);
    const late = new Member(await openSwitch(path), 5);
    members.push(late);
    await reaches(late, four, 4);
  },
);

test(
  'a socket that a killed machine left behind is no obstacle, nor is one that somebody removes',
  options,
  async (t) => {
    const path = switchPath(t);
    const server = `require('net').createServer().listen('${path}', () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', server]);
    const one = new Member(await openSwitch(path), 1);
    const two = new Member(await openSwitch(path), 2);
    t.after(() => closeAll([one, two]));
    await reaches(one, two, 2);
    rmSync(path);
    await until(() => !spawnSync('test', ['-e', path]).status);
    await reaches(two, one, 1);
  },
);

test('a card that is full loses nothing of what comes over the socket', options, async (t) => {
  const path = switchPath(t);
  const one = new Member(await openSwitch(path), 1);
  const two = new Member(await openSwitch(path), 2);
  t.after(() => closeAll([one, two]));
  await reaches(two, one, 1);
  two.room = 10;
  for (let i = 0; i < 400; i++) one.send(2, i & 255);
  await until(() => two.got.length === 10);
  two.room = Number.POSITIVE_INFINITY;
  const timer = setInterval(() => two.net.resume(), 5);
  await until(() => two.got.length === 400);
  clearInterval(timer);
  assert.deepEqual(
    two.got,
    Array.from({ length: 400 }, (_, i) => i & 255),
  );
});

test('a file that is no socket stays where it is', options, async (t) => {
  const path = switchPath(t);
  writeFileSync(path, 'somebody’s');
  await assert.rejects(openSwitch(path), /cannot use .*lan\.sock: ECONNREFUSED/);
  assert.equal(readFileSync(path, 'utf8'), 'somebody’s');
});

test('a switch cannot be where no folder can be made', options, async () => {
  await assert.rejects(openSwitch('/proc/chassis/lan.sock'), /--net switch: .*\/proc\/chassis/);
});
