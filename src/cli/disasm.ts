import { Decoder } from '../cpu/isa/decode.js';
import { disassemble } from '../cpu/isa/disassemble.js';
import { instructionTable } from '../cpu/isa/index.js';
import { describeFlags, type FlagTable, parseArgs, parseNumber, parseWord } from './args.js';
import { exitStatus, usageError } from './exit-status.js';
import { readInput } from './host-files.js';
import type { Verb } from './verb.js';

const flags: FlagTable = {
  hex: { value: 'BYTES', help: 'the code itself, such as "48 89 c3", in place of a file' },
  mode: { value: '16|32|64', help: 'what the code runs in (64)' },
  offset: { value: 'N', help: 'where in the file to begin (0)' },
  length: { value: 'N', help: 'how many bytes (to the end)' },
  address: { value: 'N', help: 'where the guest has the first byte (the offset)' },
};

export const disasm: Verb = {
  summary: 'show machine code as assembly',
  usage: () =>
    `usage: chassis disasm [flags] FILE\n\n${describeFlags(flags)}\n` +
    'Examples:\n' +
    '  chassis disasm --hex "48 89 c3"\n' +
    '  chassis disasm --mode 16 --offset 0x3fff0 --address 0xffff0 bios-256k.bin\n',
  async run(argv) {
    const args = parseArgs(argv, flags);
    const number = (flag: string) => {
      const text = args.one(flag);
      return text === undefined ? undefined : parseNumber(`--${flag}`, text, 0, 2 ** 53 - 1);
    };
    const mode = ([16, 32, 64] as const).indexOf(
      Number(parseWord('--mode', args.one('mode') ?? '64', ['16', '32', '64'])) as 16,
    );
    const code = readCode(args.one('hex'), args.positional);
    const offset = number('offset') ?? 0;
    if (offset >= code.length) {
      throw usageError(
        `--offset: found ${offset}, wanted less than the ${code.length} bytes there are`,
      );
    }
    const bytes = code.subarray(offset, offset + (number('length') ?? code.length));
    const address = number('address') ?? offset;
    process.stdout.write(listing(bytes, mode as 0 | 1 | 2, address));
    return exitStatus.ok;
  },
};

function readCode(hex: string | undefined, files: readonly string[]): Uint8Array {
  if (files.length + (hex === undefined ? 0 : 1) !== 1) {
    throw usageError('disasm: wanted one file, or --hex with the bytes');
  }
  if (hex === undefined) return readInput('disasm', files[0]!).data;
  const digits = hex.replace(/\s|0x|,/g, '');
  if (!/^([\da-f]{2})+$/i.test(digits)) {
    throw usageError(`--hex: found "${hex}", wanted pairs of hexadecimal digits`);
  }
  return Buffer.from(digits, 'hex');
}

function listing(bytes: Uint8Array, mode: 0 | 1 | 2, address: number): string {
  const decoder = new Decoder(instructionTable);
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { length, text } = disassemble(decoder, bytes, at, mode, BigInt(address + at));
    const raw = [...bytes.subarray(at, at + length)].map((b) => b.toString(16).padStart(2, '0'));
    lines.push(
      `${(address + at).toString(16).padStart(8)}:  ${raw.join(' ').padEnd(30)}  ${text}\n`,
    );
    at += length;
  }
  return lines.join('');
}
