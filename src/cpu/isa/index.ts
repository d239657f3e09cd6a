/** The instruction table: all families, in the order of the manual's chapters. */
import { arithmetic } from './arithmetic.js';
import { bitOps } from './bits.js';
import { bmi } from './bmi.js';
import { branches } from './branch.js';
import { crypto } from './crypto.js';
import { flagOps } from './flags.js';
import { mmx } from './mmx.js';
import { move } from './move.js';
import { multiply } from './multiply.js';
import { segments } from './segment.js';
import { shifts } from './shift.js';
import { sseConversions } from './sse-convert.js';
import { sseFloat } from './sse-fp.js';
import { sseInteger } from './sse-integer.js';
import { sseMove } from './sse-move.js';
import { strings } from './string.js';
import { system } from './system.js';
import { buildTable } from './table.js';
import { x87 } from './x87.js';
import { extendedState } from './xsave.js';

export const instructionTable = buildTable({
  move,
  arithmetic,
  multiply,
  shifts,
  bits: bitOps,
  bmi,
  branches,
  strings,
  flags: flagOps,
  segments,
  system,
  crypto,
  sseMove,
  sseInteger,
  mmx,
  sseFloat,
  sseConversions,
  x87,
  extendedState,
});
