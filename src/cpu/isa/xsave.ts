/** MXCSR, EMMS, and the FXSAVE and XSAVE families. [SDM 2A, 2B; SDM 1 10.5, 13] */
import * as L from '../state/layout.js';
import { NM, RAX, RDX, type Sem, UD } from './sem.js';
import type { Family, Semantic } from './table.js';
import { waitForX87 } from './x87.js';

const CR0_EM = 4;
const CR0_TS = 8;

const ldmxcsr: Semantic = (s) => {
  s.rt('set_mxcsr', s.read(s.operands[0]!));
};
const stmxcsr: Semantic = (s) => s.write(s.operands[0]!, s.state('i32.load', L.MXCSR));

/** EMMS: TOP 0 as after any MMX instruction, all x87 registers empty. Not of unit `mmx`, whose instructions fill them. */
const emms: Semantic = (s) => {
  const trap = s.state('i32.load', L.MMX_TRAP);
  s.if(trap, () => s.fault(trap));
  waitForX87(s);
  const status = s.andC(s.state('i32.load16_u', L.X87_STATUS), ~0x3800);
  s.setState('i32.store16', L.X87_STATUS, status);
  s.setState('i32.store8', L.X87_TAG, s.i32(0));
};

/** Linear address of an area in memory, its segment's limit checked. */
function area(s: Sem, bytes: number, access: number) {
  return s.linear(s.operandSegment(), s.effectiveAddress(), bytes, access);
}

const wide = (s: Sem) => s.i32(s.size === 64 ? 1 : 0);

/** #NM by CR0.EM as well as TS. */
const fx =
  (name: 'fxsave' | 'fxrstor', access: number): Semantic =>
  (s) => {
    const off = s.andC(s.state('i32.load', L.CR0), CR0_EM | CR0_TS);
    s.faultIf(s.ne(off, s.i32(0)), NM);
    s.rt(name, area(s, 512, access), wide(s));
  };

/** `kind` of the runtime's xsave, or null: XRSTOR. #UD without CR4.OSXSAVE comes before #NM. */
const xsave =
  (kind: number | null): Semantic =>
  (s) => {
    const enabled = s.andC(s.state('i32.load', L.CR4), 1 << 18);
    s.faultIf(s.eqz(enabled), UD);
    s.faultIf(s.ne(s.andC(s.state('i32.load', L.CR0), CR0_TS), s.i32(0)), NM);
    const low = s.zext64(s.readGpr(RAX, 32));
    const features = s.or(low, s.shlC(s.zext64(s.readGpr(RDX, 32)), 32));
    const at = area(s, 576, kind === null ? L.ACCESS_READ : L.ACCESS_WRITE);
    if (kind === null) s.rt('xrstor', at, features, wide(s));
    else s.rt('xsave', s.i32(kind), at, features, wide(s));
  };

export const extendedState: Family = (def) => {
  def('NP 0F AE /2', 'ldmxcsr', 'Md', ldmxcsr, { unit: 'sse' });
  def('NP 0F AE /3', 'stmxcsr', 'Md', stmxcsr, { unit: 'sse' });
  def('NP 0F 77', 'emms', '', emms);
  const sizes = [32, 64] as const;
  const legacy = { feature: 'FXSR', memBytes: 512, sizes };
  def('NP 0F AE /0', 'fxsave', 'M', fx('fxsave', L.ACCESS_WRITE), legacy);
  def('NP 0F AE /1', 'fxrstor', 'M', fx('fxrstor', L.ACCESS_READ), legacy);
  const native = 'the host has more state components';
  const extended = { feature: 'XSAVE', memBytes: 576, sizes, native };
  def('NP 0F AE /4', 'xsave', 'M', xsave(0), extended);
  def('NP 0F AE /5', 'xrstor', 'M', xsave(null), extended);
  def('NP 0F AE /6', 'xsaveopt', 'M', xsave(1), { ...extended, feature: 'XSAVEOPT' });
  def('NP 0F C7 /4', 'xsavec', 'M', xsave(2), { ...extended, feature: 'XSAVEC' });
};
