/** Instructions on RFLAGS as such. [SDM 2A, 2B] */
import * as L from '../state/layout.js';
import { RAX, RSP, type Sem } from './sem.js';
import type { Family, Semantic } from './table.js';

/** SF ZF AF PF CF, as LAHF and SAHF carry them. */
const AH_FLAGS = 0xd5;
const DIRECTION = 0x400;

const lahf: Semantic = (s) => {
  const flags = s.orC(s.andC(s.packFlags(), AH_FLAGS), 2);
  s.writeGpr(RAX, 16, s.or(s.readGpr(RAX, 8), s.shlC(flags, 8)));
};

const sahf: Semantic = (s) => {
  const ah = s.shrUC(s.readGpr(RAX, 16), 8);
  s.mergeFlags(AH_FLAGS, s.andC(ah, AH_FLAGS));
};

function direction(set: boolean): Semantic {
  return (s) => {
    const flags = s.state('i32.load', L.EFLAGS);
    const changed = set ? s.orC(flags, DIRECTION) : s.andC(flags, ~DIRECTION);
    s.setState('i32.store', L.EFLAGS, changed);
  };
}

const pushf: Semantic = (s) => {
  const flags = s.rt('pushf_value');
  s.push(s.size, s.size === 64 ? flags : s.wrap(flags));
};

const popf: Semantic = (s) => {
  const sp = s.readGpr(RSP, 64);
  const image = s.zext64(s.stackLoad(sp, s.size));
  s.rt('popf', image, s.i32(s.size));
  s.writeSp(s.addC(sp, s.size / 8));
  s.next();
};

const sti = (s: Sem): void => {
  s.rt('sti');
  s.next();
};

export const flagOps: Family = (def) => {
  def('F5', 'cmc', '', (s) => s.setCarry(s.eqz(s.flag('c'))), { reads: 'C', writes: 'C' });
  def('F8', 'clc', '', (s) => s.setCarry(s.i32(0)), { writes: 'C' });
  def('F9', 'stc', '', (s) => s.setCarry(s.i32(1)), { writes: 'C' });
  def('FC', 'cld', '', direction(false), { writes: 'D' });
  def('FD', 'std', '', direction(true), { writes: 'D' });
  def('9E', 'sahf', '', sahf, { writes: 'SZAPC' });
  def('9F', 'lahf', '', lahf, { reads: 'SZAPC' });
  const stack = { size64: 'default', sizes: [16, 32, 64] } as const;
  def('9C', 'pushf', '', pushf, { ...stack, reads: 'OSZAPC' });
  def('9D', 'popf', '', popf, { ...stack, writes: 'OSZAPC', ends: true });
  const privileged = { native: 'needs IOPL 3' } as const;
  def('FA', 'cli', '', (s) => void s.rt('cli'), privileged);
  def('FB', 'sti', '', sti, { ...privileged, ends: true });
};
