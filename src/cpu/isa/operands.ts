/** From an entry's operand letters to what semantics see, for one variant. */
import { type Bits, type Operand, RAX, RCX, RDX, type Variant } from './sem.js';
import type { Entry } from './table.js';

const SIZE_BITS: Readonly<Record<string, number>> = { b: 8, w: 16, d: 32, q: 64, t: 80, x: 128 };

/** Bits that a size letter means at an operand size; 0 where there is none (LEA, INVLPG). */
export function bitsOfLetter(letter: string | undefined, size: 16 | 32 | 64): number {
  if (letter === undefined) return 0;
  if (letter === 'v') return size;
  if (letter === 'z') return size;
  if (letter === 'y') return size === 64 ? 64 : 32;
  if (letter === 'p') return 16 + size;
  const bits = SIZE_BITS[letter];
  if (bits === undefined) throw new Error(`no operand size ${letter}`);
  return bits;
}

const FIXED: Readonly<Record<string, Operand>> = {
  AL: { kind: 'gpr', field: RAX, bits: 8 },
  CL: { kind: 'gpr', field: RCX, bits: 8 },
  AX: { kind: 'gpr', field: RAX, bits: 16 },
  DX: { kind: 'gpr', field: RDX, bits: 16 },
  '1': { kind: 'one' },
};

function operandOf(text: string, variant: Variant): Operand {
  const fixed = FIXED[text];
  if (fixed) return fixed;
  const { size, form } = variant;
  if (text === 'rAX' || text === 'eAX') return { kind: 'gpr', field: RAX, bits: size };
  const kind = text[0]!;
  const letter = text[1];
  const memory = form !== 'reg';
  switch (kind) {
    case 'E':
    case 'R': {
      const bits = bitsOfLetter(letter, size) as Bits;
      return memory ? { kind: 'mem', bits } : { kind: 'gpr', field: 'rm', bits };
    }
    case 'G':
      return { kind: 'gpr', field: 'reg', bits: bitsOfLetter(letter, size) as Bits };
    case 'B':
      return { kind: 'gpr', field: 'vex', bits: bitsOfLetter(letter, size) as Bits };
    case 'Z':
      return { kind: 'gpr', field: 'op', bits: bitsOfLetter(letter, size) as Bits };
    case 'M':
    case 'O':
      return { kind: 'mem', bits: bitsOfLetter(letter, size) };
    case 'I': {
      const signed = text === 'Ibs';
      return { kind: 'imm', bits: (signed ? size : bitsOfLetter(letter, size)) as Bits };
    }
    case 'J':
      return { kind: 'rel' };
    case 'A':
      return { kind: 'far', bits: size };
    case 'S':
      return { kind: 'sreg' };
    case 'C':
      return { kind: 'creg' };
    case 'D':
      return { kind: 'dreg' };
    case 'V':
      return { kind: 'xmm', field: 'reg', bits: bitsOfLetter(letter, size) };
    case 'U':
    case 'W': {
      const bits = bitsOfLetter(letter, size);
      return memory ? { kind: 'mem', bits } : { kind: 'xmm', field: 'rm', bits };
    }
    case 'P':
      return { kind: 'mmx', field: 'reg', bits: bitsOfLetter(letter, size) };
    case 'N':
    case 'Q': {
      const bits = bitsOfLetter(letter, size);
      return memory ? { kind: 'mem', bits } : { kind: 'mmx', field: 'rm', bits };
    }
    case 'F':
      return { kind: 'st', field: letter === 'i' ? 'rm' : Number(letter) };
    default:
      throw new Error(`no operand class ${text}`);
  }
}

/** A variant's operands, in the order of the entry. */
export function operandsOf(variant: Variant): Operand[] {
  return variant.entry.operands.map((text) => operandOf(text, variant));
}

/** What a ModRM or opcode field's number names in an entry. */
export type FieldClass = 'none' | 'gpr' | 'gpr8' | 'xmm' | 'mmx' | 'number';

/** Decides what the decoder's number for a field becomes in a record. */
export function fieldClass(entry: Entry, field: 'reg' | 'rm'): FieldClass {
  const classes = field === 'reg' ? 'GVPSCD' : 'ERZWUQNF';
  const operand = entry.operands.find(
    (o) => classes.includes(o[0]!) && o !== 'F0' && !(o in FIXED),
  );
  if (!operand) return 'none';
  const kind = operand[0]!;
  if ('VWU'.includes(kind)) return 'xmm';
  if ('PQN'.includes(kind)) return 'mmx';
  if ('SCDF'.includes(kind)) return 'number';
  return operand[1] === 'b' ? 'gpr8' : 'gpr';
}

/** Forms in which an entry can stand. */
export function formsOf(entry: Entry): readonly Variant['form'][] {
  const moffs = entry.operands.some((o) => o[0] === 'O');
  const memory =
    moffs || (entry.hasModrm && entry.mod !== 'reg' && /* opcode extension only */ usesRm(entry));
  if (!memory) return ['reg'];
  const forms: Variant['form'][] = entry.options.mode === 'legacy' ? ['mem'] : ['mem', 'flat'];
  return entry.mod === 'mem' || moffs ? forms : ['reg', ...forms];
}

function usesRm(entry: Entry): boolean {
  // CL and DX are registers by name, not fields.
  return !entry.operands.some((o) => !(o in FIXED) && (o[0] === 'C' || o[0] === 'D'));
}

/** All variants of an entry, in a fixed order: the interpreter has a handler for each. */
export function variantsOf(entry: Entry): Variant[] {
  const { rep: repKind, lock: lockable } = entry.options;
  const reps: (0 | 2 | 3)[] = repKind === 'repz' ? [0, 2, 3] : repKind === 'rep' ? [0, 3] : [0];
  const variants: Variant[] = [];
  for (const size of entry.sizes) {
    for (const form of formsOf(entry)) {
      for (const rep of reps) {
        variants.push({ entry, size, form, lock: false, rep });
        if (lockable && form !== 'reg') variants.push({ entry, size, form, lock: true, rep });
      }
    }
  }
  return variants;
}
