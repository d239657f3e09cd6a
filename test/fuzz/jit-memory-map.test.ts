/** Hot code while the machine changes the memory under it: slots, ROM, devices, the dirty log, A20. */
import assert from 'node:assert/strict';
import { type Assembler, AX, BX, CX, DI, SI } from './assembler.js';
import * as P from './program-layout.js';
import { HOT, type SpecialCase, special } from './special-case.js';

const PAGE = 0x1000;
const MODES = ['long', 'protected, paging', 'protected'];

/** A loop without end. */
function endless(a: Assembler, body: () => void): void {
  a.bind('start');
  for (const reg of [AX, BX, CX, SI]) a.alu('xor', reg, reg, 32);
  a.movImm(DI, P.DATA, 32);
  a.bind('top');
  body();
  a.inc(CX, 32);
  a.jmp('top');
}

const warm = (guest: SpecialCase): void => {
  for (let n = 0; n < 4; n++) assert.equal(guest.vm.run(4 * HOT).kind, 'intr');
};

/** The page at `gpa` comes from `offset` of the guest's RAM, or (-1) from nowhere. */
function place(guest: SpecialCase, gpa: number, offset: number, readonly = false): void {
  const { vm } = guest.vm;
  const { start } = vm.memory;
  const slot = { readonly, log: false };
  // RAM below and above; the page between them.
  vm.setMemorySlot({ ...slot, id: 0, gpa: 0, sizeBytes: gpa, place: start, readonly: false });
  const above = gpa + PAGE;
  const sizeBytes = P.RAM_BYTES - above;
  vm.setMemorySlot({
    ...slot,
    id: 1,
    gpa: above,
    sizeBytes,
    place: start + above,
    readonly: false,
  });
  const size = offset < 0 ? 0 : PAGE;
  vm.setMemorySlot({ ...slot, id: 2, gpa, sizeBytes: size, place: start + Math.max(offset, 0) });
}

for (const mode of MODES) {
  special('hot code in a slot that moves', mode, (guest) => {
    const { a } = guest;
    const [page, other] = [P.CODE + PAGE, P.CODE + 2 * PAGE];
    endless(a, () => a.call('function'));
    while (a.here < page) a.emit(0x90);
    a.bind('function');
    a.movImm(SI, 1, 32);
    a.emit(0xc3);
    while (a.here < other) a.emit(0x90);
    a.movImm(SI, 2, 32);
    a.emit(0xc3);
    guest.load();
    warm(guest);
    assert.equal(guest.reg(SI), 1);
    for (const [offset, value] of [
      [other, 2],
      [page, 1],
      [other, 2],
    ] as const) {
      place(guest, page, offset);
      warm(guest);
      assert.equal(guest.reg(SI), value);
    }
  });

  special('hot loads from RAM that becomes a device, and back', mode, (guest) => {
    const { a } = guest;
    endless(a, () => {
      a.load(SI, { base: DI, disp: 8 }, 32);
      a.store({ base: DI, disp: 12 }, CX, 32);
    });
    guest.load((ram) => ram.setUint32(P.DATA + 8, 77, true));
    let writes = 0;
    guest.vm.vcpu.attachBus!({
      portRead: () => 0,
      portWrite: () => {},
      mmioRead: () => 55,
      mmioWrite: () => writes++,
    });
    warm(guest);
    assert.deepEqual([guest.reg(SI), writes], [77, 0]);
    place(guest, P.DATA, -1);
    warm(guest);
    assert.equal(guest.reg(SI), 55);
    assert.ok(writes > HOT, `${writes} writes`);
    place(guest, P.DATA, P.DATA);
    const before = guest.u32(P.DATA + 12);
    warm(guest);
    assert.equal(guest.reg(SI), 77);
    assert.ok(guest.u32(P.DATA + 12) > before);
  });

  special('hot stores to RAM that becomes ROM', mode, (guest) => {
    const { a } = guest;
    endless(a, () => a.store({ base: DI, disp: 12 }, CX, 32));
    guest.load();
    let writes = 0;
    guest.vm.vcpu.attachBus!({
      portRead: () => 0,
      portWrite: () => {},
      mmioRead: () => 0,
      mmioWrite: () => writes++,
    });
    warm(guest);
    place(guest, P.DATA, P.DATA, true);
    const before = guest.u32(P.DATA + 12);
    warm(guest);
    assert.equal(guest.u32(P.DATA + 12), before);
    assert.ok(writes > HOT, `${writes} writes`);
  });

  special('the dirty log sees hot stores each time it is read', mode, (guest) => {
    const { a } = guest;
    endless(a, () => {
      a.store({ base: DI, disp: 12 }, CX, 32);
      a.store({ base: DI, disp: 2 * PAGE + 1 }, CX, 32);
    });
    const { vm } = guest.load().vm;
    for (let n = 0; n < 5; n++) {
      warm(guest);
      // Page tables get their accessed and dirty bits at the first look only.
      const pages = [...vm.dirtyPages(0)].filter((page) => page < P.PML4 / PAGE);
      assert.deepEqual(pages, [P.DATA / PAGE, P.DATA / PAGE + 2]);
    }
  });

  special(
    'code that is rewritten by the machine is in the dirty log and runs anew',
    mode,
    (guest) => {
      const { a } = guest;
      endless(a, () => {
        a.bind('number');
        a.movImm(SI, 1, 32);
      });
      const { vm, ram } = guest.load().vm;
      warm(guest);
      vm.dirtyPages(0);
      const at = guest.address('number') + 1;
      ram[at] = 9;
      vm.memoryWritten(at, vm.memory.start + at, 1);
      warm(guest);
      assert.equal(guest.reg(SI), 9);
      assert.deepEqual([...vm.dirtyPages(0)], [P.CODE / PAGE]);
    },
  );
}

special('hot loads when the A20 gate closes', 'protected', (guest) => {
  const { a } = guest;
  endless(a, () => a.load(SI, { disp: 0x10_0000 + P.DATA + 8 }, 32));
  guest.load((ram) => ram.setUint32(P.DATA + 8, 77, true));
  guest.vm.vcpu.attachBus!({
    portRead: () => 0,
    portWrite: () => {},
    mmioRead: () => 55,
    mmioWrite: () => {},
  });
  for (const [open, value] of [
    [true, 55],
    [false, 77],
    [true, 55],
  ] as const) {
    guest.vm.vm.setA20(open);
    warm(guest);
    assert.equal(guest.reg(SI), value);
  }
});
