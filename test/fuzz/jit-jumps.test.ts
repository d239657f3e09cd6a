/** Hot code that is entered in the middle, at other addresses, in other modes or with other registers. */
import assert from 'node:assert/strict';
import { type Assembler, AX, BX, CC, CX, DI, DX, SI, SP } from './assembler.js';
import * as P from './program-layout.js';
import { HOT, type SpecialCase, special } from './special-case.js';

const MODES = ['long', 'protected, paging', 'protected', 'real'];
const PAGED = ['long', 'protected, paging'];
const [UD, NM, GP, PF] = [6, 7, 13, 14];

const halt = (a: Assembler): void => a.emit(0xfa, 0xf4);
const start = (a: Assembler, rounds = HOT): void => {
  a.bind('start');
  for (const reg of [AX, BX, DX, SI]) a.alu('xor', reg, reg, 32);
  a.movImm(DI, P.DATA, 32);
  a.movImm(CX, rounds, 32);
};
const again = (a: Assembler, top: string): void => {
  a.dec(CX, 32);
  a.jcc(CC.ne, top);
};
/** The second phase of a test: `change` once, then `rounds` more from `top`. */
function change(a: Assembler, top: string, rounds: number, how: () => void): void {
  a.aluImm('cmp', { disp: P.VARS.scratch }, 0, 16);
  a.jcc(CC.ne, 'end');
  a.storeImm({ disp: P.VARS.scratch }, 1, 16);
  how();
  a.movImm(CX, rounds, 32);
  a.jmp(top);
  a.bind('end');
  halt(a);
}

for (const mode of MODES) {
  special('indirect jumps from every target to every other', mode, (guest) => {
    const { a } = guest;
    const entries = 4;
    const scale = a.width === 64 ? 3 : a.width === 32 ? 2 : 1;
    const dispatch = (): void => {
      a.mov(AX, CX, 32);
      a.aluImm('and', AX, entries - 1, 32);
      a.indirect(4, { index: AX, scale, disp: { label: 'table' } });
    };
    start(a);
    a.jmp('top');
    a.align(8);
    a.bind('table');
    for (let n = 0; n < entries; n++)
      a.value({ label: `entry ${n}` }, scale === 3 ? 8 : scale === 2 ? 4 : 2);
    a.bind('top');
    dispatch();
    for (let n = 0; n < entries; n++) {
      a.bind(`entry ${n}`);
      a.aluImm('add', SI, 1 + n * n, 32);
      a.dec(CX, 32);
      a.jcc(CC.e, 'end');
      dispatch();
    }
    a.bind('end');
    halt(a);
    let sum = 0;
    for (let n = HOT; n > 0; n--) sum += 1 + (n % entries) ** 2;
    assert.equal(guest.load().finish().reg(SI), sum);
  });

  special('indirect jumps into the middle of a hot block', mode, (guest) => {
    const { a } = guest;
    const entries = 8;
    start(a);
    a.jmp('top');
    a.align(8);
    a.bind('table');
    for (let n = 0; n < entries; n++) {
      a.value({ label: `entry ${n}` }, a.width === 64 ? 8 : a.width === 32 ? 4 : 2);
    }
    a.bind('top');
    a.mov(AX, CX, 32);
    a.aluImm('and', AX, entries - 1, 32);
    const scale = a.width === 64 ? 3 : a.width === 32 ? 2 : 1;
    a.indirect(4, { index: AX, scale, disp: { label: 'table' } });
    for (let n = 0; n < entries; n++) {
      a.bind(`entry ${n}`);
      a.aluImm('add', SI, 1 + n, 32);
    }
    again(a, 'top');
    halt(a);
    let sum = 0;
    for (let n = HOT; n > 0; n--) for (let i = n % entries; i < entries; i++) sum += 1 + i;
    assert.equal(guest.load().finish().reg(SI), sum);
  });

  special('jumps into the middle of an instruction', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    a.op([0xf6], 0, CX, 8);
    a.emit(1);
    a.short(0x74, { label: 'overlap', plus: 1 });
    a.bind('overlap');
    // mov eax,imm whose immediate is inc esi; nop: or from the second byte on, that.
    if (a.width === 16) a.emit(0xb8, 0x46, 0x90);
    else a.emit(0xb8, 0xff, 0xc6, 0x90, 0x90);
    a.inc(BX, 32);
    again(a, 'top');
    halt(a);
    guest.load().finish();
    assert.deepEqual([guest.reg(SI), guest.reg(BX)], [HOT / 2, HOT]);
  });

  special('a return to where no call was', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    a.call('function');
    a.inc(BX, 32);
    a.bind('elsewhere');
    a.inc(DX, 32);
    again(a, 'top');
    halt(a);
    a.bind('function');
    a.inc(SI, 32);
    a.aluImm('cmp', CX, 100, 32);
    a.jcc(CC.g, 'plain');
    // From now on it returns behind the INC.
    a.movImm(AX, { label: 'elsewhere' });
    a.store({ base: SP }, AX);
    a.bind('plain');
    a.emit(0xc3);
    guest.load().finish();
    assert.deepEqual([guest.reg(SI), guest.reg(BX), guest.reg(DX)], [HOT, HOT - 100, HOT]);
  });

  special('CALL through the very word that it pushes to', mode, (guest) => {
    const { a } = guest;
    const slot = { base: SP, disp: -a.width / 8 };
    start(a);
    a.bind('top');
    a.storeImm(slot, { label: 'function' });
    a.indirect(2, slot);
    a.inc(BX, 32);
    again(a, 'top');
    halt(a);
    a.bind('function');
    a.inc(SI, 32);
    a.emit(0xc3);
    guest.load().finish();
    assert.deepEqual([guest.reg(BX), guest.reg(SI)], [HOT, HOT]);
  });

  special('calls deeper than anyone remembers returns', mode, (guest) => {
    const { a } = guest;
    const depth = 700;
    start(a, 20);
    a.bind('top');
    a.movImm(AX, depth, 32);
    a.call('function');
    again(a, 'top');
    halt(a);
    a.align(16);
    a.bind('function');
    a.inc(SI, 32);
    a.dec(AX, 32);
    a.jcc(CC.e, 'bottom');
    a.call('function');
    a.bind('bottom');
    a.inc(BX, 32);
    a.emit(0xc3);
    guest.load().finish();
    assert.deepEqual([guest.reg(SI), guest.reg(BX)], [20 * depth, 20 * depth]);
  });

  special('flags live across calls, returns and indirect jumps', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    a.aluImm('add', BX, 0x6000_0000, 32);
    a.call('function');
    a.aluImm('adc', DX, 0, 32);
    again(a, 'top');
    halt(a);
    a.align(32);
    a.bind('function');
    a.movImm(AX, { label: 'target' });
    a.indirect(4, AX);
    a.align(32);
    a.bind('target');
    // The carry goes round the call.
    a.setcc(CC.b, AX);
    a.op([0x0f, 0xb6], AX, AX, 32);
    a.op([0x8d], SI, { base: SI, index: AX, scale: 0, disp: 0 }, 32);
    a.emit(0xc3);
    guest.load().finish();
    let carries = 0;
    for (let n = 0, sum = 0; n < HOT; n++) {
      sum += 0x6000_0000;
      if (sum >= 2 ** 32) carries++;
      sum %= 2 ** 32;
    }
    assert.deepEqual([guest.reg(SI), guest.reg(DX)], [carries, carries]);
  });

  special('REP with counts of zero, across pages and backwards', mode, (guest) => {
    const { a } = guest;
    start(a, 50);
    a.bind('top');
    a.mov(DX, CX, 32);
    a.emit(0xfc);
    a.alu('xor', CX, CX, 32);
    a.emit(0xf3, 0xa4);
    a.movImm(SI, P.DATA + 0x10, 32);
    a.movImm(DI, P.DATA + 0x1800, 32);
    a.movImm(CX, 0x17f0, 32);
    a.emit(0xf3, 0xa4);
    a.emit(0xfd);
    a.movImm(SI, P.DATA + 0x10 + 0x17ef, 32);
    a.movImm(DI, P.DATA + 0x3fff, 32);
    a.movImm(CX, 0x400, 32);
    a.emit(0xf3, 0xa4, 0xfc);
    a.mov(CX, DX, 32);
    a.inc(BX, 32);
    again(a, 'top');
    halt(a);
    guest.load((ram) => {
      for (let at = 0; at < 0x1800; at++) ram.setUint8(P.DATA + at, (at * 7) & 0xff);
    });
    const expected = guest.vm.ram.slice(P.DATA, P.DATA + 0x4000);
    for (let round = 0; round < 50; round++) {
      // Byte by byte, in order: the areas overlap.
      for (let n = 0; n < 0x17f0; n++) expected[0x1800 + n] = expected[0x10 + n]!;
      for (let n = 0; n < 0x400; n++) expected[0x3fff - n] = expected[0x17ff - n]!;
    }
    guest.finish();
    assert.equal(guest.reg(BX), 50);
    assert.equal(Buffer.compare(guest.vm.ram.subarray(P.DATA, P.DATA + 0x4000), expected), 0);
  });

  special('hot SSE code under CR0.TS and without CR4.OSFXSR', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    a.storeImm({ disp: P.VARS.recover }, { label: 'after' });
    a.store({ disp: P.VARS.recoverStack }, SP);
    a.inc(BX, 32);
    a.bind('faults');
    a.op([0x66, 0x0f, 0xfe], 0, 1, 32);
    a.inc(SI, 32);
    a.bind('after');
    again(a, 'top');
    a.inc({ disp: P.VARS.scratch }, 16);
    a.aluImm('cmp', { disp: P.VARS.scratch }, 2, 16);
    a.jcc(CC.e, 'second');
    a.jcc(CC.g, 'end');
    a.special(0x20, 0, AX);
    a.aluImm('or', AX, 8, 32);
    a.special(0x22, 0, AX);
    a.movImm(CX, 2, 32);
    a.jmp('top');
    a.bind('second');
    a.emit(0x0f, 0x06); // clts
    a.special(0x20, 4, AX);
    a.aluImm('and', AX, ~0x200, 32);
    a.special(0x22, 4, AX);
    a.movImm(CX, 3, 32);
    a.jmp('top');
    a.bind('end');
    halt(a);
    guest.load().finish();
    assert.deepEqual([guest.reg(BX), guest.reg(SI)], [HOT + 5, HOT]);
    const events = guest.events.map(({ vector, rip }) => [vector, rip]);
    const at = guest.address('faults');
    assert.deepEqual(
      events,
      [NM, NM, UD, UD, UD].map((vector) => [vector, at]),
    );
  });

  special('hot SSE code when MXCSR rounds otherwise', mode, (guest) => {
    const { a } = guest;
    // Without a prefix for the operand size.
    const size = a.width === 16 ? 16 : 32;
    start(a);
    a.op([0x0f, 0xae], 3, { disp: P.DATA + 0x20 }, size);
    a.bind('top');
    a.op([0xf3, 0x0f, 0x10], 0, { base: DI }, size);
    a.op([0xf3, 0x0f, 0x5e], 0, { base: DI, disp: 4 }, size);
    a.op([0x66, 0x0f, 0x7e], 0, AX, size);
    a.alu('add', SI, AX, 32);
    a.op([0xf3, 0x0f, 0x2d], AX, { base: DI, disp: 8 }, size);
    a.alu('add', BX, AX, 32);
    again(a, 'top');
    change(a, 'top', 10, () => a.op([0x0f, 0xae], 2, { disp: P.DATA + 0x24 }, size));
    guest.load((ram) => {
      ram.setFloat32(P.DATA, 1, true);
      ram.setFloat32(P.DATA + 4, 3, true);
      ram.setFloat32(P.DATA + 8, 2.5, true);
      // Towards plus infinity.
      ram.setUint32(P.DATA + 0x24, 0x5f80, true);
    });
    guest.finish();
    const sum = (0x3eaa_aaab * HOT + 0x3eaa_aaab * 10) % 2 ** 32;
    assert.deepEqual([guest.reg(SI), guest.reg(BX)], [sum, 2 * HOT + 3 * 10]);
  });
}

for (const mode of PAGED) {
  special('the same code at two linear addresses knows where it is', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    for (const alias of [0, P.ALIAS]) {
      a.movImm(AX, { label: 'function', plus: alias }, 32);
      a.indirect(2, AX);
    }
    again(a, 'top');
    halt(a);
    a.align(64);
    a.bind('function');
    // call the next instruction; pop eax; less its address at the first place
    a.call('next');
    a.bind('next');
    a.pop(AX);
    a.movImm(DX, { label: 'next' }, 32);
    a.alu('sub', AX, DX, 32);
    a.alu('add', SI, AX, 32);
    a.emit(0xc3);
    assert.equal(guest.load().finish().reg(SI), (HOT * P.ALIAS) % 2 ** 32);
  });

  special('hot stores when CR0.WP changes', mode, (guest) => {
    const { a } = guest;
    const wp = (on: boolean): void => {
      a.special(0x20, 0, AX);
      a.aluImm(on ? 'or' : 'and', AX, on ? 0x1_0000 : ~0x1_0000, 32);
      a.special(0x22, 0, AX);
    };
    start(a);
    wp(false);
    a.bind('top');
    a.bind('faults');
    a.inc({ base: DI, disp: 4 }, 32);
    again(a, 'top');
    change(a, 'top', 10, () => wp(true));
    guest.load((ram) => {
      const entry = P.PAGE_TABLE + (P.DATA >>> 12) * (a.width / 8);
      ram.setUint32(entry, P.DATA | 5, true);
    });
    guest.finish();
    assert.equal(guest.u32(P.DATA + 4), HOT + 10);
    const events = guest.events.map(({ vector, error, rip }) => [vector, error, rip]);
    assert.deepEqual(events, [[PF, 3, guest.address('faults')]]);
  });
}

special('hot code of the supervisor is run by the user', 'long', (guest: SpecialCase) => {
  const { a } = guest;
  start(a);
  a.bind('top');
  a.call('function');
  again(a, 'top');
  // To CPL 3: IRETQ.
  a.pushImm(P.USER_DATA);
  a.pushImm(P.STACK_TOP);
  a.emit(0x9c);
  a.pushImm(P.USER_CODE);
  a.pushImm({ label: 'user' });
  a.emit(0x48, 0xcf);
  a.bind('user');
  a.storeImm({ disp: P.VARS.recover }, { label: 'after' });
  a.storeImm({ disp: P.VARS.recoverStack }, P.STACK_TOP);
  a.call('function');
  a.bind('after');
  a.emit(0xcd, 0x3f);
  a.align(64);
  a.bind('function');
  a.inc(SI, 32);
  a.bind('faults');
  a.load(AX, { disp: 0x3_1000 });
  a.inc(BX, 32);
  a.emit(0xc3);
  guest.load((ram) => {
    // A page for the supervisor only, which the handlers do not mend.
    ram.setUint32(P.PAGE_TABLE + 0x31 * 8, P.DATA | 3, true);
  });
  guest.finish();
  assert.deepEqual([guest.reg(SI), guest.reg(BX)], [HOT + 1, HOT]);
  const [event] = guest.events;
  assert.deepEqual([event!.vector, event!.error, event!.rip], [PF, 5, guest.address('faults')]);
});

special('a jump to the last address there is faults, and comes out of run', 'long', (guest) => {
  const { a } = guest;
  start(a, HOT);
  a.bind('top');
  a.storeImm({ disp: P.VARS.recover }, { label: 'after' });
  a.store({ disp: P.VARS.recoverStack }, SP);
  a.inc(BX, 32);
  a.aluImm('cmp', CX, 4, 32);
  a.jcc(CC.g, 'after');
  a.movImm(AX, 0, 32);
  a.aluImm('sub', AX, 1, 64);
  a.indirect(4, AX);
  a.bind('after');
  again(a, 'top');
  halt(a);
  guest.load().finish();
  assert.equal(guest.reg(BX), HOT);
  const events = guest.events.map(({ vector, rip, cr2 }) => [vector, rip, cr2]);
  assert.deepEqual(events, Array(4).fill([PF, 0xffff_ffff, 0xffff_ffff]));
});

special('the same bytes as 64-bit and as 32-bit code', 'long', (guest: SpecialCase) => {
  const { a } = guest;
  const COMPATIBILITY = 0x38;
  start(a);
  a.bind('top');
  a.call('function');
  // push selector; push address; lretq: to 32-bit code.
  a.emit(0x6a, COMPATIBILITY);
  a.pushImm({ label: 'narrow' });
  a.emit(0x48, 0xcb);
  a.bind('wide again');
  again(a, 'top');
  halt(a);
  a.bind('narrow');
  a.call('function');
  // A far jump back.
  a.emit(0xea);
  a.value({ label: 'wide again' }, 4);
  a.value(P.KERNEL_CODE, 2);
  a.align(64);
  a.bind('function');
  // inc rsi in 64-bit code; dec eax; inc esi in 32-bit code.
  a.emit(0x48, 0xff, 0xc6, 0xc3);
  guest.load((ram) => {
    ram.setBigUint64(P.GDT + COMPATIBILITY, 0x00cf_9b00_0000_ffffn, true);
  });
  guest.vm.vcpu.setRecord(withTable(guest, 0x3f));
  guest.finish();
  assert.deepEqual([guest.reg(SI), guest.reg(AX)], [2 * HOT, (2 ** 32 - HOT) % 2 ** 32]);
});

function withTable(guest: SpecialCase, limit: number) {
  const record = guest.vm.vcpu.getRecord();
  record.system.gdtr = { ...record.system.gdtr, limit };
  return record;
}

for (const [what, load] of [
  ['DS', 0xd8],
  ['ES', 0xc0],
] as const) {
  special(`hot accesses through ${what} when its base changes`, 'protected', (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    if (what === 'ES') a.emit(0x26);
    a.alu('add', SI, { base: DI, disp: 0x10 }, 32);
    again(a, 'top');
    a.emit(0x2e);
    a.aluImm('cmp', { disp: P.VARS.scratch }, 0, 16);
    a.jcc(CC.ne, 'end');
    a.storeImm({ disp: P.VARS.scratch }, 1, 16);
    a.movImm(AX, 0x30, 16);
    a.emit(0x8e, load);
    a.movImm(CX, 10, 32);
    a.jmp('top');
    a.bind('end');
    halt(a);
    guest.load((ram) => {
      ram.setBigUint64(P.GDT + 0x30, 0x00cf_9300_1000_ffffn, true);
      ram.setUint32(P.DATA + 0x10, 1, true);
      ram.setUint32(P.DATA + 0x1010, 100, true);
    });
    assert.equal(guest.finish().reg(SI), HOT + 1000);
  });
}

special('hot code in a segment that becomes smaller', 'protected', (guest: SpecialCase) => {
  const { a } = guest;
  start(a);
  a.storeImm({ disp: P.VARS.scratch }, 0, 16);
  a.bind('top');
  a.storeImm({ disp: P.VARS.recover }, { label: 'end' });
  a.store({ disp: P.VARS.recoverStack }, SP);
  a.jmp('high');
  a.bind('back');
  again(a, 'top');
  a.aluImm('cmp', { disp: P.VARS.scratch }, 0, 16);
  a.jcc(CC.ne, 'end');
  a.storeImm({ disp: P.VARS.scratch }, 1, 16);
  a.movImm(CX, 10, 32);
  // jmp 0x30:top: the same code in a segment that ends before `high`.
  a.emit(0xea);
  a.value({ label: 'top' }, 4);
  a.value(0x30, 2);
  a.bind('end');
  halt(a);
  while (a.here < P.CODE + 0x1000) a.emit(0x90);
  a.bind('high');
  a.inc(SI, 32);
  a.jmp('back');
  guest.load((ram) => ram.setBigUint64(P.GDT + 0x30, 0x0040_9b00_0000_8fffn, true));
  guest.finish();
  assert.equal(guest.reg(SI), HOT);
  const { vector, rip } = guest.events.at(-1)!;
  assert.equal(vector, GP);
  // The jump itself faults, or the fetch behind it. [SDM 2A JMP: #GP where the target is beyond CS's limit]
  assert.ok(
    [guest.address('high'), guest.address('top') + 16].some((at) => Math.abs(rip - at) < 8),
  );
});
