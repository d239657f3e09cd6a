/** Instructions of random bytes: any opcode of the four maps, whether there is one or not. */
import { memoryForm } from './addressing.js';
import { addressOf, type Draft } from './encode.js';

const PREFIXES = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0xf3];

export function randomCode(draft: Draft): number[] {
  const { random, mode } = draft;
  const prefixes: number[] = [];
  for (let n = random.below(4); n > 0; n--) prefixes.push(random.pick(PREFIXES));
  let rex = mode === 0 && random.chance(2) ? 0x40 | random.below(16) : 0;
  const escapes = random.pick([[], [], [0x0f], [0x0f], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]);
  const opcode = random.below(256);
  let modrm = random.below(256);
  let tail: number[] = [];
  if (random.chance(2)) {
    const form = memoryForm(null, draft, addressOf(prefixes, draft), rex, 0);
    modrm = form.modrm | (random.below(8) << 3);
    ({ rex, tail } = form);
  }
  const immediate = Array.from({ length: 4 }, () => random.below(256));
  const start = rex ? [...prefixes, rex] : prefixes;
  return [...start, ...escapes, opcode, modrm, ...tail, ...immediate].slice(0, 32);
}
