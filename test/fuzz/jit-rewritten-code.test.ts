/** Code that is hot and then rewritten is executed as it is now, wherever it is written from. */
import assert from 'node:assert/strict';
import { type Assembler, AX, CC, CX, DI, DX, type Mem, SI, SP } from './assembler.js';
import * as P from './program-layout.js';
import { HOT, type SpecialCase, special } from './special-case.js';

const ROUNDS = 100;
/** Each round adds its number, counted down. */
const SUM = (ROUNDS * (ROUNDS + 1)) / 2;
const SOURCE = P.DATA + 0x100;

/** From where ADD ESI,imm8 is written, as an offset of its immediate. */
const immediateAt = (a: Assembler): number => (a.width === 16 ? 3 : 2);

function emptyLoopEnd(a: Assembler, top: string): void {
  a.dec(CX, 32);
  a.jcc(CC.ne, top);
}

/**
 * A loop in which `store` writes CL to [EDI], which is data while the loop gets hot and then the
 * immediate of ADD ESI at label `patch`, which `between` brings the loop to.
 */
function rewriting(
  { a }: SpecialCase,
  store: (a: Assembler) => void,
  between: (a: Assembler, patch: () => void) => void,
  offset = 0,
): void {
  const patch = (): void => {
    a.bind('patch');
    a.aluImm('add', SI, 1, 32);
    // Wide stores write these as well.
    for (let n = 0; n < 15; n++) a.emit(0x90);
  };
  const plus = immediateAt(a) + offset;
  a.bind('start');
  a.alu('xor', SI, SI, 32);
  a.movImm(DI, P.DATA, 32);
  a.movImm(CX, HOT, 32);
  a.emit(0xfc);
  a.bind('top');
  store(a);
  between(a, patch);
  emptyLoopEnd(a, 'top');
  a.movImm(AX, { label: 'patch', plus }, 32);
  a.alu('cmp', DI, AX, 32);
  a.jcc(CC.e, 'end');
  a.mov(DI, AX, 32);
  a.movImm(CX, ROUNDS, 32);
  a.jmp('top');
  a.bind('end');
  a.emit(0xfa, 0xf4);
}

const plainStore = (a: Assembler): void => a.store({ base: DI }, CX, 8);
const behind = (a: Assembler, patch: () => void): void => {
  a.emit(0x90);
  patch();
};

/** Data whose first byte is CL, the rest NOPs. */
function source(a: Assembler): Mem {
  a.store({ disp: SOURCE }, CX, 8);
  return { disp: SOURCE };
}
const fillSource = (ram: DataView): void => {
  for (let n = 0; n < 16; n++) ram.setUint8(SOURCE + n, 0x90);
};

const stores: Record<string, (a: Assembler) => void> = {
  MOV: plainStore,
  'MOV of 32 bits': (a) => {
    a.load(AX, source(a), 32);
    a.store({ base: DI }, AX, 32);
  },
  XCHG: (a) => {
    a.mov(DX, CX, 8);
    a.op([0x86], DX, { base: DI }, 8);
  },
  'LOCK XADD': (a) => {
    // What is added makes what is there CL.
    a.mov(DX, CX, 8);
    a.alu('sub', DX, { base: DI }, 8);
    a.op([0xf0, 0x0f, 0xc0], DX, { base: DI }, 8);
  },
  'LOCK CMPXCHG': (a) => {
    a.load(AX, { base: DI }, 8);
    a.op([0xf0, 0x0f, 0xb0], CX, { base: DI }, 8);
  },
  STOSB: (a) => {
    a.mov(AX, CX, 8);
    a.emit(0xaa);
    a.dec(DI, 32);
  },
  'REP STOSB': (a) => {
    a.mov(AX, CX, 8);
    a.mov(DX, CX, 32);
    a.movImm(CX, 1, 32);
    a.emit(0xf3, 0xaa);
    a.mov(CX, DX, 32);
    a.dec(DI, 32);
  },
  'REP MOVSB': (a) => {
    a.store({ disp: P.VARS.scratch }, SI, 32);
    source(a);
    a.movImm(SI, SOURCE, 32);
    a.mov(DX, CX, 32);
    a.movImm(CX, 8, 32);
    a.emit(0xf3, 0xa4);
    a.mov(CX, DX, 32);
    a.aluImm('sub', DI, 8, 32);
    a.load(SI, { disp: P.VARS.scratch }, 32);
  },
  PUSH: (a) => {
    const from = source(a);
    a.mov(DX, SP, 32);
    a.op([0x8d], SP, { base: DI, disp: a.width / 8 }, 32);
    a.op([0xff], 6, from, a.width === 64 ? 32 : a.width);
    a.mov(SP, DX, 32);
  },
  'POP to memory': (a) => {
    a.op([0xff], 6, source(a), a.width === 64 ? 32 : a.width);
    a.op([0x8f], 0, { base: DI }, a.width === 64 ? 32 : a.width);
  },
  MOVUPS: (a) => {
    a.op([0x0f, 0x10], 0, source(a), 32);
    a.op([0x0f, 0x11], 0, { base: DI }, 32);
  },
  FISTP: (a) => {
    a.op([0xdf], 5, source(a), 32);
    a.op([0xdf], 7, { base: DI }, 32);
  },
};

for (const mode of ['long', 'protected, paging', 'real']) {
  for (const [name, store] of Object.entries(stores)) {
    special(`code rewritten in the same block by ${name}`, mode, (guest) => {
      rewriting(guest, store, behind);
      assert.equal(guest.load(fillSource).finish().reg(SI), HOT + SUM);
      assert.equal(guest.logged, 0);
    });
  }

  special('code rewritten in the next block', mode, (guest) => {
    rewriting(guest, plainStore, (a, patch) => {
      a.short(0xeb, { label: 'next' });
      a.emit(0xcc, 0xcc);
      a.bind('next');
      patch();
    });
    assert.equal(guest.load().finish().reg(SI), HOT + SUM);
  });

  special('code rewritten behind a conditional branch', mode, (guest) => {
    rewriting(guest, plainStore, (a, patch) => {
      a.op([0xf6], 0, CX, 8);
      a.emit(1);
      a.jcc(CC.e, 'even');
      a.inc(DX, 32);
      a.bind('even');
      patch();
    });
    assert.equal(guest.load().finish().reg(SI), HOT + SUM);
  });

  special('code rewritten in the same page, in a function that is called', mode, (guest) => {
    const { a } = guest;
    rewriting(
      guest,
      (b) => {
        plainStore(b);
        b.call('function');
      },
      (b) => {
        b.emit(0x90);
      },
    );
    a.align(64);
    a.bind('function');
    a.bind('patch');
    a.aluImm('add', SI, 1, 32);
    a.emit(0xc3);
    assert.equal(guest.load().finish().reg(SI), HOT + SUM);
  });

  special('code rewritten in another page', mode, (guest) => {
    const { a } = guest;
    rewriting(
      guest,
      (b) => {
        plainStore(b);
        b.call('function');
      },
      () => {},
    );
    a.align(0x1000);
    a.bind('function');
    a.emit(0x90, 0x90);
    a.bind('patch');
    a.aluImm('add', SI, 1, 32);
    a.emit(0xc3);
    assert.equal(guest.load().finish().reg(SI), HOT + SUM);
  });

  special('code that rewrites what it ran before: seen in the next round', mode, (guest) => {
    rewriting(
      guest,
      (a) => {
        a.bind('patch');
        a.aluImm('add', SI, 1, 32);
        a.emit(0x90);
        plainStore(a);
      },
      () => {},
    );
    // The first round adds what was there, the last number is never added.
    assert.equal(guest.load().finish().reg(SI), HOT + 1 + SUM - 1);
  });

  for (const [what, second] of [
    ['second', 1],
    ['first', 2],
  ] as const) {
    special(`an instruction across two pages is rewritten in its ${what}`, mode, (guest) => {
      const { a } = guest;
      const plus = immediateAt(a);
      rewriting(
        guest,
        (b) => {
          // The opcode's bits 5..3 make it ADD or SUB; the immediate lies in the second page.
          if (second === 1) plainStore(b);
          else {
            b.mov(AX, CX, 8);
            b.aluImm('and', AX, 1, 8);
            b.shift('shl', AX, 3, 8);
            b.alu('add', AX, AX, 8);
            b.alu('add', AX, AX, 8);
            b.load(DX, { base: DI }, 8);
            b.aluImm('and', DX, 0xd7 - 0x100, 8);
            b.alu('or', DX, AX, 8);
            b.store({ base: DI }, DX, 8);
          }
          b.call('function');
        },
        () => {},
        second === 1 ? 0 : -1,
      );
      while (a.here < P.CODE + 0x1000 - plus) a.emit(0x90);
      a.bind('function');
      a.bind('patch');
      a.aluImm('add', SI, 1, 32);
      a.emit(0xc3);
      // In odd rounds it was AND ESI,1, the last of fifty of which found an even number.
      assert.equal(guest.load().finish().reg(SI), second === 1 ? HOT + SUM : 0);
    });
  }

  special('a loop that the host rewrites while it runs', mode, (guest) => {
    const { a } = guest;
    a.bind('start');
    a.movImm(SI, 1, 32);
    a.bind('loop');
    a.inc(CX, 32);
    a.movImm(SI, 5, 32);
    a.dec(DX, 32);
    a.jmp('loop');
    const { vm } = guest.load();
    const at = guest.address('loop') + (a.width === 16 ? 5 : 3);
    for (const value of [5, 9, 12]) {
      vm.ram[at] = value;
      vm.vm.memoryWritten(at, vm.vm.memory.start + at, 1);
      assert.equal(vm.run(50_000).kind, 'intr');
      assert.equal(guest.reg(SI), value);
    }
  });
}

for (const mode of ['long', 'protected, paging']) {
  special('code rewritten through an alias of its page', mode, (guest) => {
    rewriting(guest, plainStore, behind, P.ALIAS);
    assert.equal(guest.load().finish().reg(SI), HOT + SUM);
  });

  special('code run at two addresses is rewritten at one of them', mode, (guest) => {
    const { a } = guest;
    rewriting(
      guest,
      (b) => {
        plainStore(b);
        b.movImm(AX, { label: 'function' }, 32);
        b.indirect(2, AX);
        b.movImm(AX, { label: 'function', plus: P.ALIAS }, 32);
        b.indirect(2, AX);
      },
      () => {},
    );
    a.align(64);
    a.bind('function');
    a.bind('patch');
    a.aluImm('add', SI, 1, 32);
    a.emit(0xc3);
    assert.equal(guest.load().finish().reg(SI), 2 * (HOT + SUM));
  });
}
