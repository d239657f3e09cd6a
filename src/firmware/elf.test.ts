import assert from 'node:assert/strict';
import test from 'node:test';
import { setU64, viewOf } from './bytes.js';
import { elfRanges, loadRanges, parseElf } from './elf.js';
import { page, pvhNote, refused, sampleBoot, sampleElf } from './sample-kernels.test.js';

const MIB = 2 ** 20;
const two = [
  { gpa: 2 * MIB, data: page(2), memSize: 3 * 4096 },
  { gpa: MIB, data: page(1) },
];
const parse = (data: Uint8Array) => parseElf({ name: 'vmlinux', data });

function patched(change: (view: DataView, data: Uint8Array) => void, wide = false): Uint8Array {
  const data = sampleElf(two, { wide });
  change(viewOf(data), data);
  return data;
}

for (const wide of [false, true]) {
  test(`${wide ? 64 : 32}-bit: segments in order of address, bytes and notes`, () => {
    const elf = parse(
      sampleElf([...two, { type: 4, gpa: 0, data: pvhNote(MIB) }], { wide, entry: MIB + 8 }),
    );
    assert.equal(elf.entry, BigInt(MIB + 8));
    assert.deepEqual(
      elf.segments.map(({ index, gpa, memSize, data }) => [index, gpa, memSize, data[0]]),
      [
        [1, MIB, 4096, 1],
        [0, 2 * MIB, 3 * 4096, 2],
      ],
    );
    assert.deepEqual(
      elf.notes.map(({ owner, type }) => [owner, type]),
      [['Xen', 18]],
    );
  });

  const at = wide ? 64 : 52;
  const word = (view: DataView, offset: number, value: number) =>
    wide ? setU64(view, offset, value) : view.setUint32(offset, value, true);

  test(`${wide ? 64 : 32}-bit: a segment outside the file`, () => {
    const data = patched((view) => word(view, at + (wide ? 8 : 4), 0x1_0000), wide);
    refused(
      () => parse(data),
      'truncated',
      /^vmlinux: the file is \d+ bytes long, but program header 0/,
    );
  });

  test(`${wide ? 64 : 32}-bit: a segment smaller in memory than in the file`, () => {
    const data = patched((view) => word(view, at + (wide ? 40 : 20), 16), wide);
    refused(
      () => parse(data),
      'bad-header',
      /p_memsz of segment 0 is 0x10, but p_filesz is 0x1000/,
    );
  });

  test(`${wide ? 64 : 32}-bit: a program header table outside the file`, () => {
    const data = patched((view) => word(view, wide ? 32 : 28, 0xffff_fff0), wide);
    refused(() => parse(data), 'truncated', /program header table ends at/);
  });

  test(`${wide ? 64 : 32}-bit: program headers of another size`, () => {
    const data = patched((view) => view.setUint16(wide ? 54 : 42, 7, true), wide);
    refused(() => parse(data), 'bad-header', /e_phentsize is 7/);
  });
}

test('a file that is no ELF', () => {
  refused(() => parse(page(0)), 'bad-header', /the magic at 0 is not that of ELF/);
});

test('an ELF that ends in its header', () => {
  refused(() => parse(sampleElf(two).slice(0, 40)), 'truncated', /ELF header ends at 52/);
});

test('an ELF for another machine', () => {
  const data = patched((view) => view.setUint16(18, 183, true));
  refused(() => parse(data), 'wrong-machine', /e_machine is 183, but it has to be 3 .* or 62/);
});

test('an ELF of no known class', () => {
  const data = patched((_, bytes) => {
    bytes[4] = 3;
  });
  refused(() => parse(data), 'wrong-machine', /e_ident\[EI_CLASS\] is 3/);
});

test('a big-endian ELF', () => {
  const data = patched((_, bytes) => {
    bytes[5] = 2;
  });
  refused(() => parse(data), 'wrong-machine', /e_ident\[EI_DATA\] is 2/);
});

test('a 64-bit ELF for the i386', () => {
  const data = patched((view) => view.setUint16(18, 3, true), true);
  refused(() => parse(data), 'wrong-machine', /2 \(64-bit\), but e_machine 3/);
});

test('a shared library', () => {
  const data = patched((view) => view.setUint16(16, 3, true));
  refused(() => parse(data), 'bad-header', /e_type is 3, but it has to be 2/);
});

test('an ELF with nothing to load', () => {
  const data = patched((view) => view.setUint16(44, 0, true));
  refused(() => parse(data), 'bad-header', /number of segments to load is 0/);
});

test('an ELF with overlapping segments', () => {
  const data = sampleElf([
    { gpa: MIB, data: page(1), memSize: 0x3000 },
    { gpa: MIB + 0x2000, data: page(2) },
  ]);
  refused(
    () => parse(data),
    'overlap',
    /p_paddr of segment 1 is 0x102000, but segment 0 .* 0x103000/,
  );
});

test('broken notes are ignored', () => {
  const note = pvhNote(MIB);
  viewOf(note).setUint32(4, 0xffff_ffff, true);
  const elf = parse(sampleElf([...two, { type: 4, gpa: 0, data: note }]));
  assert.deepEqual(elf.notes, []);
});

const place = (gpa: number, memSize = 4096) => {
  const file = { name: 'vmlinux', data: sampleElf([{ gpa, data: page(1), memSize }]) };
  const { e820 } = sampleBoot(file.data);
  return loadRanges(file, elfRanges(parseElf(file)), e820, 0x9_0000);
};

test('segments in RAM are written without their zeros', () => {
  const [write] = place(MIB, 2 * MIB);
  assert.deepEqual([write.gpa, write.data.length], [MIB, 4096]);
});

test('a segment outside RAM', () => {
  refused(() => place(0xfee0_0000), 'outside', /memory of segment 0 is 0xfee00000 to 0xfee01000/);
  refused(() => place(0xa_0000), 'outside', /guest RAM for it is 0x90000 to 0x9fc00 and 0x100000/);
});

test('a segment that runs out of RAM', () => {
  refused(() => place(MIB, 64 * MIB), 'larger-than-ram', /0x100000 to 0x4100000/);
});

test('a segment over what the loader keeps in low memory', () => {
  refused(() => place(0x2000), 'outside', /0x2000 to 0x3000/);
});
