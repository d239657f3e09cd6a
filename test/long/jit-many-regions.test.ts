/** More code is translated than there is room for: it goes on, right as before. */
import assert from 'node:assert/strict';
import { AX, CC, CX, SI } from '../fuzz/assembler.js';
import { special } from '../fuzz/special-case.js';

const ROUNDS = 50_000;
/** Calls between two changes: more than it takes to be translated. */
const CALLS = 15;

for (const mode of ['long', 'protected']) {
  special(`a function that is rewritten ${ROUNDS} times, hot each time`, mode, (guest) => {
    const { a } = guest;
    a.bind('start');
    a.alu('xor', SI, SI, 32);
    a.movImm(CX, ROUNDS, 32);
    a.bind('round');
    a.store({ disp: { label: 'function', plus: 1 } }, CX, 32);
    a.push(CX);
    a.movImm(CX, CALLS, 32);
    a.bind('calls');
    a.movImm(AX, { label: 'function' });
    a.indirect(2, AX);
    a.alu('add', SI, AX, 32);
    a.dec(CX, 32);
    a.jcc(CC.ne, 'calls');
    a.pop(CX);
    a.dec(CX, 32);
    a.jcc(CC.ne, 'round');
    a.emit(0xfa, 0xf4);
    a.align(0x1000);
    a.bind('function');
    a.movImm(AX, 0, 32);
    a.emit(0xc3);
    const sum = (BigInt(ROUNDS) * BigInt(ROUNDS + 1) * BigInt(CALLS)) / 2n;
    assert.equal(guest.load().finish().reg(SI), Number(sum & 0xffff_ffffn));
  });
}
