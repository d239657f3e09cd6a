/** Hot code that faults in the middle, or whose pages change: exact as with the interpreter. */
import assert from 'node:assert/strict';
import { type Assembler, AX, BX, CC, CX, DI, DX, SI, SP } from './assembler.js';
import * as P from './program-layout.js';
import { HOT, type SpecialCase, special } from './special-case.js';

const PAGED = ['long', 'protected, paging'];
const PAGE = 0x1000;
const [PF, GP, DE, UD] = [14, 13, 0, 6];
/** Error code bits. [SDM 3A 4.7] */
const [PRESENT, WRITE, FETCH] = [1, 2, 16];
/** The first linear page that is not mapped and that the handlers do not mend. */
const NOWHERE = 0x1_0000;

const entryOf = (a: Assembler, linear: number): number =>
  P.TABLE_WINDOW + (linear >>> 12) * (a.width / 8);

/** Changes the page-table entry of `linear` and drops it from the TLB. */
function changePage(
  a: Assembler,
  linear: number,
  how: 'absent' | 'read-only' | 'no execute' | { readonly to: number },
): void {
  const disp = entryOf(a, linear);
  if (how === 'absent') a.aluImm('and', { disp }, ~1, 32);
  else if (how === 'read-only') a.aluImm('and', { disp }, ~2, 32);
  else if (how === 'no execute') a.aluImm('or', { disp: disp + 4 }, -0x8000_0000, 32);
  else a.storeImm({ disp }, how.to | 7, 32);
}
const invlpg = (a: Assembler, linear: number): void => {
  a.op([0x0f, 0x01], 7, { disp: linear }, 32);
};
const halt = (a: Assembler): void => a.emit(0xfa, 0xf4);

/** `body` HOT times, then `change`, then `body` `more` times. */
function hotThenChanged(
  a: Assembler,
  body: () => void,
  change: () => void,
  more: number,
  rounds = HOT,
): void {
  a.bind('start');
  for (const reg of [AX, DX, BX, SI]) a.alu('xor', reg, reg, 32);
  a.movImm(DI, P.DATA, 32);
  a.storeImm({ disp: P.VARS.scratch }, 0, 32);
  a.movImm(CX, rounds, 32);
  a.bind('top');
  body();
  a.dec(CX, 32);
  a.jcc(CC.ne, 'top');
  a.aluImm('cmp', { disp: P.VARS.scratch }, 0, 32);
  a.jcc(CC.ne, 'end');
  a.inc({ disp: P.VARS.scratch }, 32);
  change();
  a.movImm(CX, more, 32);
  a.jmp('top');
  a.bind('end');
  halt(a);
}

for (const mode of PAGED) {
  special(
    'a fault in the middle of a block has the state before its instruction',
    mode,
    (guest) => {
      const { a } = guest;
      const body = (): void => {
        a.inc(SI, 32);
        a.aluImm('add', BX, 0x7000_0000, 32);
        a.bind('faults');
        a.load(AX, { base: DI, disp: 8 }, 32);
        a.alu('adc', DX, AX, 32);
        a.aluImm('add', SI, 2, 32);
      };
      const change = (): void => {
        changePage(a, P.DATA, 'absent');
        invlpg(a, P.DATA);
      };
      hotThenChanged(a, body, change, 50);
      guest.load((ram) => ram.setUint32(P.DATA + 8, 3, true)).finish();
      const rounds = HOT + 50;
      assert.equal(guest.reg(SI), 3 * rounds);
      assert.equal(guest.reg(BX), Number((0x7000_0000n * BigInt(rounds)) & 0xffff_ffffn));
      let carries = 0;
      for (let n = 0, sum = 0; n < rounds; n++) {
        sum += 0x7000_0000;
        if (sum >= 2 ** 32) carries++;
        sum %= 2 ** 32;
      }
      assert.equal(
        guest.reg(DX),
        3 * rounds + carries,
        'the carry is what it was before the fault',
      );
      const [event, ...more] = guest.events;
      assert.equal(more.length, 0);
      const { vector, error, rip, cr2, flags } = event!;
      assert.deepEqual([vector, error, cr2], [PF, 0, P.DATA + 8]);
      assert.equal(rip, guest.address('faults'));
      // After round HOT + 1: the flags of that addition.
      const sum = (0x7000_0000n * BigInt(HOT + 1)) & 0xffff_ffffn;
      const before = (0x7000_0000n * BigInt(HOT)) & 0xffff_ffffn;
      assert.equal((flags & 1) !== 0, before + 0x7000_0000n > 0xffff_ffffn);
      assert.equal((flags & 0x80) !== 0, (sum & 0x8000_0000n) !== 0n);
    },
  );

  special('a write to a page that became read-only happens once', mode, (guest) => {
    const { a } = guest;
    const body = (): void => {
      a.inc(BX, 32);
      a.bind('faults');
      a.aluImm('add', { base: DI, disp: 4 }, 3, 32);
      a.inc(SI, 32);
    };
    const change = (): void => {
      changePage(a, P.DATA, 'read-only');
      invlpg(a, P.DATA);
    };
    hotThenChanged(a, body, change, 10);
    guest.load().finish();
    assert.equal(guest.u32(P.DATA + 4), 3 * (HOT + 10));
    assert.deepEqual([guest.reg(BX), guest.reg(SI)], [HOT + 10, HOT + 10]);
    const events = guest.events.map(({ vector, error, rip, cr2 }) => [vector, error, rip, cr2]);
    assert.deepEqual(events, [[PF, PRESENT | WRITE, guest.address('faults'), P.DATA + 4]]);
  });

  special('a store across pages whose second is absent writes nothing', mode, (guest) => {
    const { a } = guest;
    const body = (): void => {
      a.storeImm({ disp: P.VARS.recover }, { label: 'after' });
      a.store({ disp: P.VARS.recoverStack }, SP);
      a.inc(SI, 32);
      a.bind('faults');
      a.store({ base: DI, disp: 1 }, CX, 32);
      a.inc(BX, 32);
      a.bind('after');
    };
    // The last word of the last page, then one that goes on where nothing is.
    hotThenChanged(a, body, () => a.movImm(DI, NOWHERE - 4, 32), 5);
    guest.load((ram) => ram.setUint32(NOWHERE - 4, 0x1122_3344, true)).finish();
    assert.deepEqual([guest.reg(SI), guest.reg(BX)], [HOT + 5, HOT]);
    assert.equal(guest.u32(NOWHERE - 4), 0x1122_3344);
    const { vector, error, rip, cr2 } = guest.events.at(-1)!;
    assert.deepEqual([vector, error, cr2], [PF, WRITE, NOWHERE]);
    assert.deepEqual([guest.logged, rip], [5, guest.address('faults')]);
  });

  special('an instruction across two pages, the second absent', mode, (guest) => {
    const { a } = guest;
    const body = (): void => a.call('function');
    const second = P.CODE + PAGE;
    const change = (): void => {
      changePage(a, second, 'absent');
      invlpg(a, second);
    };
    hotThenChanged(a, body, change, 10);
    while (a.here < second - 3) a.emit(0x90);
    a.bind('function');
    a.inc(SI, 32);
    a.bind('crosses');
    a.movImm(DX, 0x1234_5678, 32);
    a.alu('add', BX, DX, 32);
    a.emit(0xc3);
    guest.load().finish();
    assert.equal(guest.reg(SI), HOT + 10);
    assert.equal(guest.reg(BX), Number((0x1234_5678n * BigInt(HOT + 10)) & 0xffff_ffffn));
    const events = guest.events.map(({ vector, rip, cr2 }) => [vector, rip, cr2]);
    assert.deepEqual(events, [[PF, guest.address('crosses'), second]]);
  });

  special('a block that goes on in a page that became absent', mode, (guest) => {
    const { a } = guest;
    const second = P.CODE + PAGE;
    const change = (): void => {
      changePage(a, second, 'absent');
      invlpg(a, second);
    };
    hotThenChanged(a, () => a.call('function'), change, 10);
    while (a.here < second - 4) a.emit(0x90);
    a.bind('function');
    a.inc(SI, 32);
    a.inc(SI, 32);
    a.bind('in the second');
    a.inc(BX, 32);
    a.emit(0xc3);
    guest.load().finish();
    assert.deepEqual([guest.reg(SI), guest.reg(BX)], [2 * (HOT + 10), HOT + 10]);
    const events = guest.events.map(({ vector, rip, cr2 }) => [vector, rip, cr2]);
    assert.deepEqual(events, [[PF, second, second]]);
  });

  for (const how of ['CR3', 'INVLPG', 'CR4.PGE'] as const) {
    const flush = (a: Assembler, linear: number): void => {
      if (how === 'INVLPG') invlpg(a, linear);
      else if (how === 'CR3') {
        a.special(0x20, 3, AX);
        a.special(0x22, 3, AX);
      } else {
        a.special(0x20, 4, AX);
        for (let n = 0; n < 2; n++) {
          a.aluImm('xor', AX, 0x80, 32);
          a.special(0x22, 4, AX);
        }
      }
    };
    special(`hot code whose page is mapped elsewhere, after a flush by ${how}`, mode, (guest) => {
      const { a } = guest;
      const [page, other] = [P.CODE + PAGE, P.CODE + 2 * PAGE];
      const change = (): void => {
        changePage(a, page, { to: other });
        flush(a, page);
      };
      hotThenChanged(a, () => a.call('function'), change, 10);
      while (a.here < page) a.emit(0x90);
      a.bind('function');
      a.aluImm('add', SI, 1, 32);
      a.emit(0xc3);
      while (a.here < other) a.emit(0x90);
      a.aluImm('add', SI, 100, 32);
      a.emit(0xc3);
      guest.load((ram) => {
        // A global page stays in the TLB when CR3 is written.
        const entry = P.PAGE_TABLE + (page >>> 12) * (a.width / 8);
        if (how === 'CR4.PGE') ram.setUint32(entry, page | 0x107, true);
      });
      assert.equal(guest.finish().reg(SI), HOT + 1000);
    });

    special(`hot loads from a page that is mapped elsewhere, flush by ${how}`, mode, (guest) => {
      const { a } = guest;
      const page = P.DATA + PAGE;
      const change = (): void => {
        changePage(a, page, { to: page + PAGE });
        flush(a, page);
      };
      hotThenChanged(a, () => a.alu('add', SI, { disp: page + 16 }, 32), change, 10);
      guest.load((ram) => {
        ram.setUint32(page + 16, 1, true);
        ram.setUint32(page + PAGE + 16, 100, true);
      });
      assert.equal(guest.finish().reg(SI), HOT + 1000);
    });

    special(`the page of the running loop is mapped elsewhere, flush by ${how}`, mode, (guest) => {
      const { a } = guest;
      const [page, other] = [P.CODE + PAGE, P.CODE + 2 * PAGE];
      a.bind('start');
      a.alu('xor', SI, SI, 32);
      a.alu('xor', BX, BX, 32);
      a.jmp('loop');
      // The same code twice, but for one number; the loop remaps itself when it is hot.
      for (const [n, at] of [page, other].entries()) {
        while (a.here < at) a.emit(0x90);
        if (n === 0) a.bind('loop');
        const [same, leave] = [a.fresh(), a.fresh()];
        const top = a.mark();
        a.aluImm('add', SI, n ? 100 : 1, 32);
        a.inc(BX, 32);
        a.aluImm('cmp', BX, HOT, 32);
        a.jcc(CC.ne, same);
        changePage(a, page, { to: other });
        flush(a, page);
        a.bind(same);
        a.aluImm('cmp', BX, HOT + 10, 32);
        a.jcc(CC.e, leave);
        a.jcc(CC.ne, top);
        a.bind(leave);
        halt(a);
      }
      assert.equal(guest.load().finish().reg(SI), HOT + 1000);
    });
  }
}

special('a CALL onto a page that is absent leaves the stack pointer', 'long', (guest) => {
  const { a } = guest;
  const body = (): void => {
    a.mov(DX, SP, 32);
    a.mov(SP, DI, 32);
    a.bind('faults');
    a.call('function');
    a.inc(BX, 32);
    a.mov(SP, DX, 32);
  };
  const stack = P.DATA - PAGE;
  // The handlers have a stack of their own.
  const change = (): void => {
    changePage(a, stack, 'absent');
    invlpg(a, stack);
  };
  hotThenChanged(a, body, change, 4);
  a.align(16);
  a.bind('function');
  a.inc(SI, 32);
  a.emit(0xc3);
  guest.load().finish();
  assert.deepEqual([guest.reg(SI), guest.reg(BX)], [HOT + 4, HOT + 4]);
  const events = guest.events.map(({ vector, error, rip, cr2 }) => [vector, error, rip, cr2]);
  assert.deepEqual(events, [[PF, WRITE, guest.address('faults'), P.DATA - 8]]);
});

special('a page of hot code loses execute permission', 'long', (guest) => {
  const { a } = guest;
  const page = P.CODE + PAGE;
  const change = (): void => {
    changePage(a, page, 'no execute');
    invlpg(a, page);
  };
  hotThenChanged(a, () => a.call('function'), change, 10);
  while (a.here < page + 0x20) a.emit(0x90);
  a.bind('function');
  a.inc(SI, 32);
  a.emit(0xc3);
  assert.equal(guest.load().finish().reg(SI), HOT + 10);
  const events = guest.events.map(({ vector, error, rip, cr2 }) => [vector, error, rip, cr2]);
  const at = guest.address('function');
  assert.deepEqual(events, [[PF, PRESENT | FETCH, at, at]]);
});

special('a loop takes execute permission from its own page', 'long', (guest) => {
  const { a } = guest;
  const body = (): void => {
    a.inc(SI, 32);
    a.aluImm('cmp', SI, HOT, 32);
    a.jcc(CC.ne, 'go on');
    changePage(a, P.CODE, 'no execute');
    invlpg(a, P.CODE);
    a.bind('next');
    a.inc(BX, 32);
    a.bind('go on');
  };
  hotThenChanged(a, body, () => {}, 10);
  guest.load().finish();
  assert.deepEqual([guest.reg(SI), guest.reg(BX)], [HOT + 10, 1]);
  const events = guest.events.map(({ vector, error, rip, cr2 }) => [vector, error, rip, cr2]);
  const at = guest.address('next');
  assert.deepEqual(events, [[PF, PRESENT | FETCH, at, at]]);
});

special('hot code in address spaces that PCIDs tell apart', 'long', (guest) => {
  const { a } = guest;
  const page = P.CODE + PAGE;
  // A second set of tables: the same but for one page of code.
  const [pml4, pdpt, pd, pt] = [0x1_4000, 0x1_5000, 0x1_6000, 0x1_7000];
  a.bind('start');
  a.alu('xor', SI, SI, 32);
  a.special(0x20, 4, AX);
  a.aluImm('or', AX, 0x2_0000, 32);
  a.special(0x22, 4, AX);
  a.movImm(CX, HOT, 32);
  a.bind('top');
  for (const [n, table] of [P.PML4, pml4].entries()) {
    a.movImm(AX, table | (n + 1), 32);
    // Bit 63: what the TLB holds of this PCID stays. [SDM 3A 4.10.4.1]
    a.op([0x0f, 0xba], 5, AX, 64);
    a.emit(63);
    a.special(0x22, 3, AX);
    a.call('function');
    a.call('function');
  }
  a.dec(CX, 32);
  a.jcc(CC.ne, 'top');
  halt(a);
  while (a.here < page) a.emit(0x90);
  a.bind('function');
  a.aluImm('add', SI, 1, 32);
  a.emit(0xc3);
  while (a.here < page + PAGE) a.emit(0x90);
  a.aluImm('add', SI, 100, 32);
  a.emit(0xc3);
  guest.load((ram) => {
    for (let n = 0; n < 64; n++) {
      ram.setUint32(pt + n * 8, ram.getUint32(P.PAGE_TABLE + n * 8, true), true);
    }
    ram.setUint32(pt + (page >>> 12) * 8, (page + PAGE) | 7, true);
    for (const [table, next] of [
      [pml4, pdpt],
      [pdpt, pd],
      [pd, pt],
    ] as const) {
      ram.setUint32(table, next | 7, true);
    }
  });
  assert.equal(guest.finish().reg(SI), HOT * 202);
});

for (const mode of ['long', 'protected', 'real']) {
  special('a division that faults after thousands that did not', mode, (guest) => {
    const { a } = guest;
    const body = (): void => {
      a.storeImm({ disp: P.VARS.recover }, { label: 'after' });
      a.store({ disp: P.VARS.recoverStack }, SP);
      a.movImm(AX, 1000, 32);
      a.alu('xor', DX, DX, 32);
      a.inc(SI, 32);
      a.bind('faults');
      a.op([0xf7], 6, { disp: P.DATA }, 32);
      a.alu('add', BX, AX, 32);
      a.bind('after');
    };
    const change = (): void => a.storeImm({ disp: P.DATA }, 0, 32);
    hotThenChanged(a, body, change, 3);
    guest.load((ram) => ram.setUint32(P.DATA, 10, true)).finish();
    assert.deepEqual([guest.reg(SI), guest.reg(BX)], [HOT + 3, 100 * HOT]);
    const events = guest.events.map(({ vector, rip }) => [vector, rip]);
    assert.deepEqual(events, Array(3).fill([DE, guest.address('faults')]));
  });

  special('hot code that becomes an invalid instruction', mode, (guest) => {
    const { a } = guest;
    const body = (): void => {
      a.storeImm({ disp: P.VARS.recover }, { label: 'after' });
      a.store({ disp: P.VARS.recoverStack }, SP);
      a.inc(SI, 32);
      a.bind('becomes');
      a.emit(0x90, 0x90);
      a.inc(BX, 32);
      a.bind('after');
    };
    const change = (): void => a.storeImm({ disp: { label: 'becomes' } }, 0x0b0f, 16);
    hotThenChanged(a, body, change, 3);
    guest.load().finish();
    assert.deepEqual([guest.reg(SI), guest.reg(BX)], [HOT + 3, HOT]);
    const events = guest.events.map(({ vector, rip }) => [vector, rip]);
    assert.deepEqual(events, Array(3).fill([UD, guest.address('becomes')]));
  });
}

special('an access beyond a segment that was made smaller', 'protected', (guest: SpecialCase) => {
  const { a } = guest;
  const body = (): void => {
    a.storeImm({ disp: P.VARS.recover }, { label: 'after' });
    a.store({ disp: P.VARS.recoverStack }, SP);
    a.inc(SI, 32);
    a.bind('faults');
    a.emit(0x65);
    a.load(AX, { base: DI, disp: 16 }, 32);
    a.inc(BX, 32);
    a.bind('after');
  };
  // GS becomes a segment of the first 4 KiB only.
  const change = (): void => {
    a.movImm(AX, 0x30, 16);
    a.emit(0x8e, 0xe8);
  };
  hotThenChanged(a, body, change, 3);
  guest.load((ram) => ram.setBigUint64(P.GDT + 0x30, 0x0040_9300_0000_0fffn, true)).finish();
  assert.deepEqual([guest.reg(SI), guest.reg(BX)], [HOT + 3, HOT]);
  const events = guest.events.map(({ vector, rip }) => [vector, rip]);
  assert.deepEqual(events, Array(3).fill([GP, guest.address('faults')]));
});
