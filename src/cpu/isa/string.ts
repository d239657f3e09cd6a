/**
 * String instructions, with and without repeat prefixes. The runtime does the iterations (runtime/string.ts);
 * an answer of 0 means that some remain, or a fault: the instruction starts again. [SDM 2B REP]
 */
import type { Value } from '../emit/function-builder.js';
import type { Sem } from './sem.js';
import type { EntryOptions, Family, Semantic } from './table.js';

type Name = 'movs' | 'stos' | 'lods' | 'scas' | 'cmps' | 'ins' | 'outs';

/** Those that read through DS or an override. */
const WITH_SOURCE: readonly Name[] = ['movs', 'lods', 'cmps', 'outs'];

function string(name: Name, bytes: 1 | null): Semantic {
  return (s: Sem) => {
    const { rep, entry } = s.variant;
    const size = s.i32(bytes ?? s.size / 8);
    const args: Value[] = [size, s.i32(rep), s.addressMask()];
    if (WITH_SOURCE.includes(name)) args.push(s.segment());
    const done = s.rt(name, ...args);
    if (rep !== 0) s.if(s.eqz(done), () => s.restart());
    else s.if(s.eqz(done), () => s.leave(false));
    if (entry.options.ends) s.next();
  };
}

export const strings: Family = (def) => {
  const both = (opcode: number, name: Name, options: EntryOptions): void => {
    const hex = (n: number): string => n.toString(16).toUpperCase();
    const io = name === 'ins' || name === 'outs';
    def(hex(opcode), `${name}b`, '', string(name, 1), options);
    const sizes = io ? ([16, 32] as const) : ([16, 32, 64] as const);
    def(hex(opcode + 1), name, '', string(name, null), { ...options, sizes });
  };
  // Port accesses may change what the guest sees of memory, or ask for an interrupt: look at once.
  const port = { rep: 'rep', ends: true, native: 'needs port permission' } as const;
  both(0x6c, 'ins', port);
  both(0x6e, 'outs', port);
  both(0xa4, 'movs', { rep: 'rep' });
  both(0xa6, 'cmps', { rep: 'repz', writes: 'OSZAPC' });
  both(0xaa, 'stos', { rep: 'rep' });
  both(0xac, 'lods', { rep: 'rep' });
  both(0xae, 'scas', { rep: 'repz', writes: 'OSZAPC' });
};
