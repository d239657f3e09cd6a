/**
 * The exception and interrupt handlers of generated guests: each event is logged; page faults in
 * code, data and their aliases mend the page and try again; debug traps count down; what else
 * faults goes on where the program said.
 */
import { Assembler, AX, CC, CX, DX, type Mem, SP } from './assembler.js';
import {
  ALIAS,
  CODE,
  DATA,
  DATA_BYTES,
  HANDLERS,
  KERNEL_CODE,
  LOG,
  LOG_ENTRIES,
  type ProgramMode,
  RIVAL,
  TABLE_WINDOW,
  VARS,
} from './program-layout.js';

export const VECTORS = 64;
/** A software interrupt that ends the program. */
export const END_VECTOR = 0x3f;
const STUB = 16;
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17, 21]);
const MENDED = DATA + DATA_BYTES - CODE;

const ZF_SET = CC.e;

export const stubOf = (vector: number): number => HANDLERS + vector * STUB;

export function writeHandlers({ width, paging }: ProgramMode): Uint8Array {
  const a = new Assembler(width, HANDLERS);
  const word = width / 8;
  for (let vector = 0; vector < VECTORS; vector++) {
    // The real mode pushes no error codes.
    if (width === 16 || !WITH_ERROR.has(vector)) a.emit(0x6a, 0);
    a.emit(0x6a, vector);
    a.jmp('common');
    a.align(STUB);
  }
  a.bind('common');
  // Registers of 32 bits in 16-bit code: what is above is 12 bytes, not 6.
  const saved = [AX, CX, DX];
  for (const reg of saved) {
    if (width === 16) a.emit(0x66);
    a.push(reg);
  }
  if (width === 16) a.emit(0x1e, 0x6a, 0, 0x1f, 0x66, 0x0f, 0xb7, 0xe4); // push ds; ds = 0; movzx esp,sp
  const restore = (): void => {
    if (width === 16) a.emit(0x1f); // pop ds
    for (const reg of saved.toReversed()) {
      if (width === 16) a.emit(0x66);
      a.pop(reg);
    }
  };
  const frame = width === 16 ? 14 : 3 * word;
  const slot = (n: number): Mem => ({ base: SP, disp: frame + n * word });
  const VECTOR = slot(0);
  const RIP = slot(2);
  const FLAGS = slot(4);
  const STACK = slot(5);
  a.load(AX, { disp: VARS.logged }, 32);
  a.mov(CX, AX, 32);
  a.aluImm('and', CX, LOG_ENTRIES - 1, 32);
  a.shift('shl', CX, 6, 32);
  a.inc(AX, 32);
  a.store({ disp: VARS.logged }, AX, 32);
  const logged = width === 64 ? [0, 1, 2, 4, 5] : [0, 1, 2, 4];
  for (const n of logged) {
    a.load(DX, slot(n));
    a.store({ base: CX, disp: LOG + n * 8 }, DX);
  }
  // In 64-bit code the handlers are at CPL 0 as well, with registers of 64 bits.
  a.special(0x20, 2, DX);
  a.store({ base: CX, disp: LOG + 48 }, DX, width === 64 ? 64 : 32);
  a.special(0x21, 6, DX);
  a.store({ base: CX, disp: LOG + 56 }, DX, 32);
  a.load(AX, VECTOR, 16);
  a.op([0x0f, 0xb7], AX, AX, 32); // movzx eax,ax (16-bit code: 66 gives it the size)
  a.aluImm('cmp', AX, 1, 32);
  a.jcc(CC.e, 'debug');
  a.aluImm('cmp', AX, 3, 32);
  a.jcc(CC.e, 'done');
  a.aluImm('cmp', AX, END_VECTOR, 32);
  a.jcc(CC.e, 'end');
  a.aluImm('cmp', AX, 32, 32);
  a.jcc(CC.ae, 'done');
  a.aluImm('cmp', AX, 4, 32);
  a.jcc(CC.e, 'done');
  if (paging) {
    a.aluImm('cmp', AX, 14, 32);
    a.jcc(CC.e, 'page fault');
  }
  a.bind('recover');
  a.dec({ disp: VARS.patience }, 32);
  a.jcc(CC.s, 'end');
  if (width === 64) {
    a.load(DX, { disp: VARS.recover });
    a.store(RIP, DX);
    a.load(DX, { disp: VARS.recoverStack });
    a.store(STACK, DX);
    a.aluImm('and', FLAGS, ~0x100, 32);
    a.jmp('done');
  } else {
    restore();
    if (width === 16) a.emit(0x6a, 0, 0x17); // ss = 0
    // Through CS: what the program did to DS is its own matter.
    a.emit(0x2e);
    a.load(SP, { disp: VARS.recoverStack });
    a.pushImm(0x202);
    a.pushImm(width === 16 ? 0 : KERNEL_CODE);
    a.emit(0x2e);
    a.op([0xff], 6, { disp: VARS.recover }, width);
    a.emit(0xcf);
  }
  a.bind('end');
  a.emit(0xfa, 0xf4);
  a.jmp('end');
  if (paging) {
    a.bind('page fault');
    a.special(0x20, 2, DX);
    if (width === 64) {
      a.mov(CX, DX);
      a.shift('shr', CX, 32);
      a.jcc(CC.ne, 'recover');
    }
    a.mov(AX, DX, 32);
    a.aluImm('and', AX, ~RIVAL, 32);
    a.aluImm('sub', AX, CODE, 32);
    a.aluImm('cmp', AX, MENDED, 32);
    a.jcc(CC.b, 'mend');
    a.aluImm('sub', AX, ALIAS, 32);
    a.aluImm('cmp', AX, MENDED, 32);
    a.jcc(CC.ae, 'recover');
    a.bind('mend');
    a.mov(AX, DX, 32);
    a.aluImm('and', AX, ~RIVAL, 32);
    a.shift('shr', AX, 12, 32);
    a.mov(CX, DX, 32);
    a.aluImm('and', CX, 0xf000, 32);
    a.aluImm('or', CX, 7, 32);
    a.store({ index: AX, scale: width === 64 ? 3 : 2, disp: TABLE_WINDOW }, CX);
    a.op([0x0f, 0x01], 7, { base: DX }, 32); // invlpg
    a.jmp('done');
  }
  a.bind('debug');
  a.special(0x21, 6, DX);
  a.movImm(AX, 0, 32);
  a.special(0x23, 6, AX);
  // Execution breakpoints go on by RF, which IRET of 16 bits does not load: those are switched off.
  a.op([0xf6], 0, DX, 8);
  a.emit(0x0f);
  a.jcc(ZF_SET, 'no breakpoint');
  if (width === 16) a.special(0x23, 7, AX);
  else a.aluImm('or', FLAGS, 0x1_0000, 32);
  a.bind('no breakpoint');
  a.op([0xf7], 0, DX, 32);
  a.value(0x4000, 4);
  a.jcc(ZF_SET, 'done');
  a.dec({ disp: VARS.steps }, 32);
  const stay = a.fresh();
  a.jcc(CC.g, stay);
  a.aluImm('and', FLAGS, ~0x100, width === 16 ? 16 : 32);
  a.bind(stay);
  a.bind('done');
  restore();
  a.aluImm('add', SP, 2 * word);
  if (width === 64) a.emit(0x48);
  a.emit(0xcf);
  return a.finish();
}
