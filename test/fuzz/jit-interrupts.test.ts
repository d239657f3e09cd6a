/** Interrupts, shadows, single steps and breakpoints in hot code come where the interpreter has them. */
import assert from 'node:assert/strict';
import { type Assembler, AX, BX, CC, CX, DI, DX, SI, SP } from './assembler.js';
import * as P from './program-layout.js';
import { HOT, SpecialCase, special } from './special-case.js';

const MODES = ['long', 'protected, paging', 'protected', 'real'];
const VECTOR = 0x33;
/** DR6: single step; breakpoint 0. */
const [BS, B0] = [0x4000, 1];
const TF = 0x100;

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
/** With interrupts off, asks for one. */
const ask = (a: Assembler): void => a.emit(0xfa, 0xe6, P.INTERRUPT_PORT);
/** pushf; set a flag; popf. */
const setFlag = (a: Assembler, flag: number): void => {
  a.emit(0x9c);
  a.aluImm('or', { base: SP }, flag, 16);
  a.emit(0x9d);
};

/** Blocks with branches, a call, an indirect jump and flags that live across the edges. */
function edges(a: Assembler, inputAt = -1): string[] {
  const places: string[] = [];
  let edge = 0;
  const here = (): void => {
    if (edge++ === inputAt) {
      places.push(a.mark());
      a.push(AX);
      places.push(a.mark());
      a.emit(0xe4, 0x10);
      places.push(a.mark());
      a.pop(AX);
    }
    places.push(a.mark());
  };
  start(a);
  a.jmp('top');
  a.align(16);
  a.bind('function');
  here();
  a.alu('adc', SI, CX, 32);
  here();
  a.emit(0xc3);
  a.bind('top');
  here();
  a.aluImm('add', BX, 0x1357_9bdf, 32);
  here();
  a.call('function');
  here();
  const odd = a.fresh();
  a.jcc(CC.b, odd);
  here();
  a.alu('xor', DX, BX, 32);
  a.bind(odd);
  here();
  a.movImm(AX, { label: 'target' });
  here();
  a.indirect(4, AX);
  a.emit(0xcc);
  a.bind('target');
  here();
  a.alu('sbb', DX, SI, 32);
  here();
  a.store({ base: DI, disp: 4 }, DX, 32);
  here();
  a.dec(CX, 32);
  here();
  a.jcc(CC.ne, 'top');
  here();
  halt(a);
  return places;
}

for (const mode of MODES) {
  special('an interrupt at every block edge', mode, (guest) => {
    const places = edges(guest.a);
    const ends = (): number[] => [...[BX, SI, DX].map((n) => guest.reg(n)), guest.u32(P.DATA + 4)];
    const undisturbed = guest.load().finish() && ends();
    assert.equal(guest.logged, 0);
    const starts = places.map((label) => guest.address(label));
    for (let extra = 0; extra < 40; extra++) {
      guest.load();
      assert.equal(guest.vm.run(8 * HOT).kind, 'intr');
      assert.equal(guest.vm.run(1 + extra).kind, 'intr');
      const { rip, retired } = guest.vm;
      guest.vm.interrupt(VECTOR);
      guest.finish();
      assert.deepEqual(ends(), undisturbed, `${extra} instructions later`);
      const events = guest.events.map((event) => [event.vector, event.rip]);
      assert.deepEqual(events, [[VECTOR, rip]], `after ${retired}`);
      assert.ok(starts.includes(rip), rip.toString(16));
    }
  });

  special('an interrupt that comes in the middle of a block', mode, (guest) => {
    // IN at each place by turns: its device asks for the interrupt.
    for (let at = 0; at < 11; at++) {
      const one = at === 0 ? guest : new SpecialCase(guest.jit, mode);
      const places = edges(one.a, at);
      one.load();
      let asked = 0;
      one.vm.vcpu.attachBus!({
        portRead: () => {
          // None in the last round, whose end switches them off.
          if (++asked % 3 === 0 && asked < HOT) one.vm.interrupt(VECTOR);
          return 0;
        },
        portWrite: () => {},
        mmioRead: () => 0,
        mmioWrite: () => {},
      });
      one.finish();
      assert.deepEqual([asked, one.logged], [HOT, HOT / 3 - 1], `at ${at}`);
      const starts = places.map((label) => one.address(label));
      for (const { rip, vector } of one.events) {
        assert.ok(starts.includes(rip), `${at}: ${rip.toString(16)}`);
        assert.equal(vector, VECTOR);
      }
      const carries = new SpecialCase('off', mode);
      edges(carries.a);
      carries.load().finish();
      const ends = (from: SpecialCase): number[] => [BX, SI, DX].map((n) => from.reg(n));
      assert.deepEqual(ends(one), ends(carries), `at ${at}`);
    }
  });

  special('an interrupt waits for the shadow of STI', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    ask(a);
    a.inc(SI, 32);
    a.emit(0xfb);
    a.inc(BX, 32);
    a.bind('taken');
    a.inc(DX, 32);
    again(a, 'top');
    halt(a);
    guest.load().finish();
    assert.deepEqual([guest.reg(SI), guest.reg(BX), guest.reg(DX)], [HOT, HOT, HOT]);
    assert.equal(guest.logged, HOT);
    for (const { vector, rip } of guest.events) {
      assert.ok(vector >= P.FIRST_INTERRUPT);
      assert.equal(rip, guest.address('taken'));
    }
  });

  special('STI with CLI behind it takes no interrupt', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    ask(a);
    for (let n = 0; n < 3; n++) a.emit(0xfb, 0xfa);
    a.inc(BX, 32);
    a.emit(0xfb, 0x90);
    a.bind('taken');
    a.emit(0xfa);
    again(a, 'top');
    halt(a);
    guest.load().finish();
    assert.deepEqual([guest.logged, guest.reg(BX)], [HOT, HOT]);
    for (const { rip } of guest.events) assert.equal(rip, guest.address('taken'));
  });

  special('POPF that sets IF has no shadow', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    ask(a);
    setFlag(a, 0x200);
    a.bind('taken');
    a.inc(DX, 32);
    again(a, 'top');
    halt(a);
    guest.load().finish();
    assert.equal(guest.logged, HOT);
    for (const { rip } of guest.events) assert.equal(rip, guest.address('taken'));
  });

  special('an interrupt waits for the shadow of MOV SS', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    ask(a);
    a.emit(0x8c, 0xd0);
    // STI's shadow is MOV SS, whose own is the instruction after it.
    a.emit(0xfb, 0x8e, 0xd0);
    a.inc(BX, 32);
    a.bind('taken');
    a.inc(DX, 32);
    again(a, 'top');
    halt(a);
    guest.load().finish();
    assert.deepEqual([guest.logged, guest.reg(BX)], [HOT, HOT]);
    for (const { rip } of guest.events) assert.equal(rip, guest.address('taken'));
  });

  special('an NMI in a hot loop', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    a.inc(BX, 32);
    a.emit(0xfa);
    a.inc(SI, 32);
    again(a, 'top');
    halt(a);
    // What the handlers take for a fault goes on where it was.
    a.bind('handler');
    a.inc({ disp: P.DATA + 8 }, 32);
    if (a.width === 64) a.emit(0x48);
    a.emit(0xcf);
    guest.load((ram) => {
      const at = guest.address('handler');
      if (a.width === 16) ram.setUint16(2 * 4, at, true);
      else ram.setUint16(P.IDT + 2 * (a.width === 64 ? 16 : 8), at, true);
    });
    for (let n = 1; n <= 10; n++) {
      assert.equal(guest.vm.run(HOT / 4 + n).kind, 'intr');
      guest.vm.vcpu.nmi();
    }
    guest.finish();
    assert.equal(guest.u32(P.DATA + 8), 10);
    assert.deepEqual([guest.reg(BX), guest.reg(SI)], [HOT, HOT]);
  });

  special('TF steps through hot code', mode, (guest) => {
    const { a } = guest;
    const labels = ['one', 'two', 'three', 'four', 'five', 'six', 'seven'];
    start(a);
    a.storeImm({ disp: P.VARS.scratch }, 0, 16);
    a.bind('top');
    a.bind('one');
    a.inc(BX, 32);
    a.bind('two');
    a.call('function');
    a.bind('five');
    a.alu('add', SI, { base: DI }, 32);
    a.bind('six');
    a.dec(CX, 32);
    a.bind('seven');
    a.jcc(CC.ne, 'top');
    a.aluImm('cmp', { disp: P.VARS.scratch }, 0, 16);
    a.jcc(CC.ne, 'end');
    a.storeImm({ disp: P.VARS.scratch }, 1, 16);
    a.movImm(CX, 3, 32);
    setFlag(a, TF);
    a.jmp('top');
    a.bind('end');
    halt(a);
    a.bind('function');
    a.bind('three');
    a.inc(DX, 32);
    a.bind('four');
    a.emit(0xc3);
    guest.load((ram) => {
      ram.setUint32(P.DATA, 5, true);
      // The JMP and two rounds of seven.
      ram.setUint32(P.VARS.steps, 15, true);
    });
    guest.finish();
    const all = [guest.reg(BX), guest.reg(DX), guest.reg(SI)];
    assert.deepEqual(all, [HOT + 3, HOT + 3, 5 * (HOT + 3)]);
    const places = labels.map((label) => guest.address(label));
    const expected = [...places, ...places, places[0]!];
    assert.deepEqual(
      guest.events.map(({ rip }) => rip),
      expected,
    );
    for (const { vector, dr6 } of guest.events) assert.deepEqual([vector, dr6 & BS], [1, BS]);
  });

  special('TF set in a function steps through its return into the hot caller', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    a.inc(BX, 32);
    a.movImm(AX, { label: 'function' });
    a.indirect(2, AX);
    a.bind('back');
    a.inc(SI, 32);
    a.bind('one');
    a.inc(DX, 32);
    a.bind('two');
    a.dec(CX, 32);
    a.bind('three');
    a.jcc(CC.ne, 'top');
    halt(a);
    a.align(16);
    a.bind('function');
    a.mov(AX, CX, 32);
    a.aluImm('and', AX, 0xff, 32);
    a.jcc(CC.ne, 'plain');
    a.storeImm({ disp: P.VARS.steps }, 5, a.width === 16 ? 16 : 32);
    setFlag(a, TF);
    a.bind('plain');
    a.emit(0xc3);
    guest.load().finish();
    const times = Math.floor(HOT / 256);
    assert.equal(guest.logged, 5 * times);
    assert.deepEqual([guest.reg(BX), guest.reg(SI), guest.reg(DX)], [HOT, HOT, HOT]);
    const places = ['back', 'one', 'two', 'three', 'top'].map((label) => guest.address(label));
    const rips = guest.events.map(({ rip }) => rip);
    assert.deepEqual(rips, Array.from({ length: times }, () => places).flat());
  });

  special('TF does not stop between MOV SS and what follows it', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.bind('top');
    a.emit(0x8c, 0xd0);
    a.storeImm({ disp: P.VARS.steps }, 2, a.width === 16 ? 16 : 32);
    setFlag(a, TF);
    a.emit(0x8e, 0xd0);
    a.inc(BX, 32);
    a.bind('first');
    a.inc(DX, 32);
    a.bind('second');
    again(a, 'top');
    halt(a);
    guest.load().finish();
    assert.equal(guest.logged, 2 * HOT);
    const [first, second] = ['first', 'second'].map((label) => guest.address(label));
    guest.events.forEach(({ rip }, n) => {
      assert.equal(rip, n % 2 ? second : first);
    });
  });

  special('TF stops after each iteration of REP MOVSB', mode, (guest) => {
    const { a } = guest;
    start(a, 500);
    a.emit(0xfc);
    a.bind('top');
    a.mov(DX, CX, 32);
    a.movImm(SI, P.DATA + 0x40, 32);
    a.movImm(DI, P.DATA + 0x80, 32);
    a.movImm(CX, 4, 32);
    a.storeImm({ disp: P.VARS.steps }, 5, a.width === 16 ? 16 : 32);
    setFlag(a, TF);
    a.bind('rep');
    a.emit(0xf3, 0xa4);
    a.bind('after');
    a.mov(CX, DX, 32);
    a.bind('last');
    again(a, 'top');
    halt(a);
    guest.load().finish();
    assert.equal(guest.logged, 5 * 500);
    const [rep, after, last] = ['rep', 'after', 'last'].map((label) => guest.address(label));
    const rips = guest.events.slice(-5).map(({ rip }) => rip);
    assert.deepEqual(rips, [rep, rep, rep, after, last]);
  });

  special('an execution breakpoint on hot code', mode, (guest) => {
    const { a } = guest;
    start(a);
    a.storeImm({ disp: P.VARS.scratch }, 0, 16);
    a.bind('top');
    a.inc(BX, 32);
    a.bind('watched');
    a.inc(SI, 32);
    again(a, 'top');
    a.aluImm('cmp', { disp: P.VARS.scratch }, 0, 16);
    a.jcc(CC.ne, 'end');
    a.storeImm({ disp: P.VARS.scratch }, 1, 16);
    a.movImm(AX, { label: 'watched' }, 32);
    a.special(0x23, 0, AX);
    a.movImm(AX, 0x401, 32);
    a.special(0x23, 7, AX);
    a.movImm(CX, 4, 32);
    a.jmp('top');
    a.bind('end');
    halt(a);
    guest.load().finish();
    assert.deepEqual([guest.reg(BX), guest.reg(SI)], [HOT + 4, HOT + 4]);
    // In real mode the handler, whose IRET loads no RF, switches it off.
    const times = mode === 'real' ? 1 : 4;
    const events = guest.events.map(({ vector, rip, dr6 }) => [vector, rip, dr6 & 15]);
    assert.deepEqual(events, Array(times).fill([1, guest.address('watched'), B0]));
  });

  for (const [what, control, hits] of [
    ['writes', 0xd_0001, 1],
    ['reads and writes', 0xf_0001, 2],
  ] as const) {
    special(`a breakpoint on ${what} of data that hot code uses`, mode, (guest) => {
      const { a } = guest;
      start(a);
      a.storeImm({ disp: P.VARS.scratch }, 0, 16);
      a.bind('top');
      a.inc(BX, 32);
      a.store({ base: DI, disp: 4 }, BX, 32);
      a.bind('written');
      a.inc(SI, 32);
      a.load(DX, { base: DI, disp: 6 }, 16);
      a.bind('read');
      a.alu('add', SI, { base: DI, disp: 8 }, 32);
      again(a, 'top');
      a.aluImm('cmp', { disp: P.VARS.scratch }, 0, 16);
      a.jcc(CC.ne, 'end');
      a.storeImm({ disp: P.VARS.scratch }, 1, 16);
      a.movImm(AX, P.DATA + 4, 32);
      a.special(0x23, 0, AX);
      a.movImm(AX, control | 0x400, 32);
      a.special(0x23, 7, AX);
      a.movImm(CX, 3, 32);
      a.jmp('top');
      a.bind('end');
      halt(a);
      guest.load().finish();
      // The handler of real mode takes any breakpoint for one of execution.
      const rounds = mode === 'real' ? 1 : 3;
      const places = ['written', 'read'].slice(0, hits).map((label) => guest.address(label));
      const expected = Array.from({ length: rounds }, () => places).flat();
      const rips = guest.events.map(({ rip }) => rip);
      assert.deepEqual(rips, mode === 'real' ? expected.slice(0, 1) : expected);
      assert.deepEqual([guest.reg(BX), guest.reg(SI)], [HOT + 3, HOT + 3]);
    });
  }

  special('a pause comes out of a loop without end', mode, (guest) => {
    const { a } = guest;
    a.bind('start');
    a.bind('loop');
    a.jmp('loop');
    const { vm } = guest.load();
    assert.equal(vm.run(100_000).kind, 'intr');
    vm.vcpu.requestPause();
    assert.equal(vm.vcpu.run().kind, 'intr');
    assert.equal(vm.rip, guest.address('loop'));
  });

  special('a budget is kept to in hot code', mode, (guest) => {
    const { a } = guest;
    a.bind('start');
    a.alu('xor', BX, BX, 32);
    a.bind('loop');
    a.inc(BX, 32);
    a.jmp('loop');
    const { vm } = guest.load();
    vm.run(50_000);
    for (const budget of [1, 2, 7, 100, 10_000]) {
      const before = vm.retired;
      const rounds = guest.reg(BX);
      assert.equal(vm.run(budget).kind, 'intr');
      const done = vm.retired - before;
      assert.ok(done >= budget && done <= budget + 256, `${done} of ${budget}`);
      assert.ok(Math.abs(guest.reg(BX) - rounds - done / 2) <= 1, 'counted as run');
    }
  });
}

special('ports and MMIO in the middle of hot code', 'long', (guest: SpecialCase) => {
  const { a } = guest;
  start(a);
  a.bind('top');
  a.inc(BX, 32);
  a.emit(0xe4, 0x10);
  a.op([0x0f, 0xb6], AX, AX, 32);
  a.alu('add', SI, AX, 32);
  a.emit(0xe6, 0x80);
  a.alu('add', SI, BX, 32);
  again(a, 'top');
  halt(a);
  const ports: number[] = [];
  const { vm } = guest.load();
  vm.vcpu.attachBus!({
    portRead: () => 3,
    portWrite: (port) => ports.push(port),
    mmioRead: () => 0,
    mmioWrite: () => {},
  });
  guest.finish();
  assert.equal(guest.reg(SI), 3 * HOT + (HOT * (HOT + 1)) / 2);
  assert.deepEqual([ports.length, ports[0]], [HOT, 0x80]);
});
