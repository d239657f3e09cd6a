import assert from 'node:assert/strict';
import test from 'node:test';
import { MemoryDisk } from '#src/backend/disk/memory-disk.js';
import { decode, encode } from '#src/base/codec.js';
import { VirtioBalloon } from '#src/virtio/balloon/balloon.js';
import { VirtioBlk } from '#src/virtio/blk/blk.js';
import { VirtioConsole } from '#src/virtio/console/console.js';
import { deviceStatus, feature } from '#src/virtio/core/registers.js';
import type { VirtioType } from '#src/virtio/core/virtio-type.js';
import { VirtioNet } from '#src/virtio/net/net.js';
import { MockPci, settle } from '#src/virtio/pci/mock-pci.test.js';
import { common, structures } from '#src/virtio/pci/registers.js';
import { Ram, writable } from '#src/virtio/queue/mock-driver.test.js';
import { VirtioRng } from '#src/virtio/rng/rng.js';

const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? 20_261_122);
const ROUNDS = process.env.CHASSIS_LONG === '1' ? 4000 : 150;
const RAM_BYTES = 0x8000;

/** xorshift32 */
function source(start: number): (below: number) => number {
  let state = start | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const nowhere = { write() {}, connect() {}, resume() {} };

/** Each type, and what its host's side may do at any time. */
const types: Record<string, () => { type: VirtioType<unknown>; host: (n: number) => void }> = {
  blk: () => {
    const disk = new MemoryDisk(64 * 512);
    const type = new VirtioBlk(disk, { queues: 2 });
    return { type, host: (n) => void disk.resize(512 * (32 + (n % 64))) };
  },
  net: () => {
    const link = { offloads: true, send() {}, connect() {}, resume() {} };
    const type = new VirtioNet(link, { mac: Uint8Array.of(2, 0, 0, 0, 0, 1), pairs: 2, mtu: 1500 });
    const header = { flags: 1, headerBytes: 0, gsoBytes: 9, checksumStart: 20, checksumOffset: 2 };
    const frame = () => new Uint8Array(60).fill(0xff);
    return {
      type,
      host: (n) => {
        type.setLink(n % 5 > 0);
        type.announce();
        type.receive(frame());
        type.receive(frame(), { ...header, gsoType: n % 6 });
      },
    };
  },
  console: () => {
    let take: (bytes: Uint8Array) => number = () => 0;
    const backend = {
      ...nowhere,
      connect(to: typeof take) {
        take = to;
      },
    };
    const type = new VirtioConsole([
      { backend, isConsole: true },
      { backend: nowhere, isConsole: false, name: 'x' },
    ]);
    return {
      type,
      host: (n) => {
        take(new Uint8Array(n % 50));
        type.resize(n % 200, 25);
      },
    };
  },
  balloon: () => {
    const type = new VirtioBalloon({ discard() {} });
    return {
      type,
      host: (n) => {
        type.setTarget(4096 * n);
        type.askStatistics();
      },
    };
  },
  rng: () => ({ type: new VirtioRng(() => 7), host() {} }),
};

for (const [name, make] of Object.entries(types)) {
  test(`${name}: rings at random places, loops, wild indices: it asks for a reset, and works after one`, async () => {
    const random = source(seed ^ (name.length * 0x9e37));
    const some = (list: readonly number[]) => list[random(list.length)]!;
    let resets = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const ram = new Ram(RAM_BYTES);
      const { type, host } = make();
      const pci = new MockPci(type, { ram });
      const all = [...type.features, ...Object.values(feature)];
      let wanted: number[] = [];
      // Some sets of features do not go together.
      do wanted = all.filter((bit) => bit === feature.version1 || random(3) > 0);
      while (!pci.negotiate(wanted));
      const isPacked = wanted.includes(feature.packed);
      const places: number[][] = [];
      for (let queue = 0; queue < type.queueSizes.length; queue++) {
        const place = [0, 1, 2].map(() => random(RAM_BYTES / 2) & ~15);
        if (random(30) === 0) place[random(3)] = random(2 ** 32);
        places.push(place);
        pci.set(common.queueSelect, 2, queue);
        pci.set(common.queueSize, 2, isPacked ? 1 + random(16) : 1 << random(5));
        for (let area = 0; area < 3; area++) pci.set(common.queueAreas + 8 * area, 4, place[area]!);
        if (random(20) === 0) pci.set(common.queueAreas + 4, 4, random(2 ** 32));
        if (random(20) > 0) pci.set(common.queueEnable, 2, 1);
      }
      pci.driverOk();
      for (let step = 0; step < 60; step++) {
        const queue = random(places.length);
        scribble(ram, places[queue]!, isPacked, random, some);
        pci.kick(queue);
        if (random(4) === 0) host(random(1000));
        if (random(10) === 0) pci.set(structures.device.offset + random(64), 1, random(256));
        if (random(40) === 0) {
          pci.set(common.queueSelect, 2, queue);
          pci.set(random(2) === 0 ? common.queueReset : common.queueEnable, 2, 1);
        }
        if (random(8) === 0) await settle();
        if (random(8) === 0) {
          const { stateCodec } = pci.device;
          const state = decode(stateCodec, encode(stateCodec, pci.device.save()), `seed ${seed}`);
          if (random(4) === 0) pci.device.restore(state);
        }
      }
      await settle();
      if ((pci.status & deviceStatus.needsReset) === 0) continue;
      resets++;
      assert.ok(pci.guestFaults.length > 0, 'said to the log');
      // A new driver finds it whole.
      ram.bytes.fill(0);
      pci.start();
      assert.equal(pci.status & deviceStatus.needsReset, 0, `seed ${seed} round ${round}`);
    }
    assert.ok(resets > ROUNDS / 4, `${resets} resets in ${ROUNDS} rounds`);
  });
}

/** What a bad driver leaves in a queue's memory: nearly right, so that the device gets somewhere. */
function scribble(
  ram: Ram,
  [table, available]: number[],
  isPacked: boolean,
  random: (below: number) => number,
  some: (list: readonly number[]) => number,
): void {
  const put16 = (at: number, value: number) => {
    if (at >= 0 && at + 2 <= RAM_BYTES) ram.view.setUint16(at, value, true);
  };
  const put32 = (at: number, value: number) => {
    if (at >= 0 && at + 4 <= RAM_BYTES) ram.view.setUint32(at, value, true);
  };
  for (let i = 0; i < 4; i++) {
    const at = table! + 16 * random(16);
    put32(at, random(20) === 0 ? random(2 ** 32) : random(RAM_BYTES));
    put32(at + 4, random(40) === 0 ? random(2 ** 32) : 0);
    put32(at + 8, some([0, 1, 8, 12, 16, 16, 32, 60, 512, 4096, 0xffff_ffff]));
    const flags = some([0, 1, 2, 3, 4, 5, 1, 3]);
    if (isPacked) put16(at + 12, random(16));
    put16(at + (isPacked ? 14 : 12), flags | (isPacked ? some([0x80, 0x8000, 0x80, 0]) : 0));
    if (!isPacked) put16(at + 14, random(20) === 0 ? random(65_536) : random(16));
  }
  if (isPacked) return;
  const index = available! + 2;
  const before = index + 2 <= RAM_BYTES ? ram.view.getUint16(index, true) : 0;
  put16(index, random(30) === 0 ? random(65_536) : before + random(3));
  for (let i = 0; i < 16; i++) put16(available! + 4 + 2 * i, random(17));
}

test('a broken neighbour is no trouble', async () => {
  const bad = new MockPci(new VirtioRng(() => 1)).start();
  const disk = new MockPci(new VirtioBlk(new MemoryDisk(4096))).start();
  bad.send(0, [writable(0x100, 0xffff_ffff), writable(0x100, 0xffff_ffff)]);
  assert.ok(bad.status & deviceStatus.needsReset);
  const status = disk.ram.allocate(1);
  disk.ram.bytes[status] = 0xee;
  const header = disk.ram.place(new Uint8Array(16));
  const data = disk.ram.allocate(512);
  disk.send(0, [
    { gpa: header, length: 16, write: false },
    writable(data, 512),
    writable(status, 1),
  ]);
  await settle();
  assert.equal(disk.ram.bytes[status], 0);
});
