import assert from 'node:assert/strict';
import test from 'node:test';
import {
  CR0_PE,
  CR0_PG,
  CR0_WP,
  longMode,
  PD,
  PDPT,
  PML4,
  PT,
  protectedMode,
  type TestCpu,
} from './runtime-harness.test.js';
import * as L from './state/layout.js';

const FLAT = L.SEGMENTS + L.FLAT * L.SEGMENT_SIZE;
const DS = L.SEGMENTS + L.DS * L.SEGMENT_SIZE;

const read = (t: TestCpu, linear: bigint, size = 4): number => t.rt.probe_read(linear, size, FLAT);
const write = (t: TestCpu, linear: bigint, size = 4): number =>
  t.rt.probe_write(linear, size, FLAT);

/** The page fault's error code, -1 for none, and that CR2's value is right. */
function pageFault(t: TestCpu, linear: bigint, work: () => unknown): number {
  const fault = t.fault(work);
  if (!fault) return -1;
  assert.equal(fault.vector, 14);
  assert.equal(fault.address, linear);
  return fault.error;
}

test('32-bit paging: 4 KiB pages, accessed and dirty bits, error codes', () => {
  const t = protectedMode();
  t.setU64(L.CR3, 0x10_0000n);
  t.setU64(L.CR0, CR0_PE | CR0_PG | CR0_WP);
  t.setRam32(0x10_0000 + 4 * 1, 0x10_1000 | 7);
  t.setRam32(0x10_1000 + 4 * 2, 0x20_0000 | 7);
  t.setRam32(0x10_1000 + 4 * 3, 0x20_1000 | 5);
  t.setRam32(0x10_1000 + 4 * 4, 0x20_2000 | 3);
  t.rt.update_mode();
  assert.equal(read(t, 0x40_2010n), t.ram + 0x20_0010);
  assert.equal(t.ram32(0x10_0004), 0x10_1027);
  assert.equal(t.ram32(0x10_1008), 0x20_0027);
  assert.equal(write(t, 0x40_2010n), t.ram + 0x20_0010);
  assert.equal(t.ram32(0x10_1008), 0x20_0067);
  assert.equal(
    pageFault(t, 0x5000n, () => read(t, 0x5000n)),
    0,
  );
  assert.equal(
    pageFault(t, 0x40_5000n, () => write(t, 0x40_5000n)),
    2,
  );
  assert.equal(
    pageFault(t, 0x40_3ffcn, () => write(t, 0x40_3ffcn)),
    3,
  );
  assert.equal(t.ram32(0x10_100c), 0x20_1005, 'a refused access marks nothing');
  // Without WP the supervisor writes read-only pages; the user does not.
  t.setU64(L.CR0, CR0_PE | CR0_PG);
  t.rt.flush_tlb_all();
  assert.equal(write(t, 0x40_3000n), t.ram + 0x20_1000);
  t.setU32(L.CPL, 3);
  t.rt.update_mode();
  assert.equal(
    pageFault(t, 0x40_3000n, () => write(t, 0x40_3000n)),
    7,
  );
  assert.equal(
    pageFault(t, 0x40_4000n, () => read(t, 0x40_4000n)),
    5,
  );
  assert.equal(
    pageFault(t, 0x40_4000n, () => t.rt.fetch_probe(0x40_4000n)),
    5,
    'no I/D without NX',
  );
});

test('32-bit paging: 4 MiB pages, PSE-36 and its reserved bit', () => {
  const t = protectedMode();
  t.setU64(L.CR3, 0x10_0000n);
  t.setU64(L.CR0, CR0_PE | CR0_PG);
  t.setU64(L.CR4, 0x10n);
  t.setRam32(0x10_0000 + 4 * 5, 0x40_0000 | 0x83);
  t.setRam32(0x10_0000 + 4 * 6, 0x60_0000 | 0x83);
  t.setRam32(0x10_0000 + 4 * 7, 0x40_0000 | 0x83 | (1 << 13));
  t.rt.update_mode();
  assert.equal(read(t, 0x14f_fff0n), t.ram + 0x4f_fff0);
  assert.equal(
    pageFault(t, 0x180_0000n, () => read(t, 0x180_0000n)),
    9,
    'bit 21 is reserved',
  );
  read(t, 0x1c0_0010n);
  assert.deepEqual(t.mmio, ['r4 100400010'], 'bits 20..13 are bits 39..32');
  assert.equal(write(t, 0x14f_fff0n), t.ram + 0x4f_fff0);
  assert.equal(t.ram32(0x10_0014), 0x40_00e3);
});

test('PAE: PDPTEs are loaded, checked and used; reserved bits', () => {
  const t = protectedMode();
  t.setRam64(0x10_0020, 0x10_1001n);
  t.setRam64(0x10_0028, 0x10_1003n);
  assert.equal(t.rt.load_pdptes(0x10_0020n), 0, 'bit 1 is reserved');
  t.setRam64(0x10_0028, 0n);
  assert.equal(t.rt.load_pdptes(0x10_0020n), 1);
  t.setU64(L.CR3, 0x10_0020n);
  t.setU64(L.CR4, 0x20n);
  t.setU64(L.CR0, CR0_PE | CR0_PG);
  t.setRam64(0x10_1000, 0x10_2007n);
  t.setRam64(0x10_1008, 0x40_0087n);
  t.setRam64(0x10_2008, 0x20_0007n);
  t.setRam64(0x10_2010, 0x20_0007n | (1n << 63n));
  t.setRam64(0x10_2018, 0x20_0007n | (1n << 52n));
  t.rt.update_mode();
  assert.equal(read(t, 0x1008n), t.ram + 0x20_0008);
  assert.equal(read(t, 0x20_0008n), t.ram + 0x40_0008);
  assert.equal(t.ram64(0x10_0020), 0x10_1001n, 'a PDPTE has no accessed bit');
  assert.equal(
    pageFault(t, 0x4000_0000n, () => read(t, 0x4000_0000n)),
    0,
  );
  assert.equal(
    pageFault(t, 0x2000n, () => read(t, 0x2000n)),
    9,
    'NX without NXE',
  );
  assert.equal(
    pageFault(t, 0x3000n, () => read(t, 0x3000n)),
    9,
    'bits 62..52',
  );
  t.setU64(L.EFER, 1n << 11n);
  assert.equal(read(t, 0x2000n), t.ram + 0x20_0000);
  assert.equal(
    pageFault(t, 0x2000n, () => t.rt.fetch_probe(0x2000n)),
    0x11,
  );
});

test('4-level: 4 KiB, 2 MiB and 1 GiB pages, dirty bits, reserved bits, canonical addresses', () => {
  const t = longMode();
  assert.equal(read(t, 0x5008n, 8), t.ram + 0x5008);
  assert.equal(t.ram64(PT + 5 * 8), 0x5027n);
  assert.equal(write(t, 0x5008n, 8), t.ram + 0x5008);
  assert.equal(t.ram64(PT + 5 * 8), 0x5067n);
  assert.equal(write(t, 0x20_0000n), t.ram + 0x20_0000);
  assert.equal(t.ram64(PD + 8), 0x20_00e3n);
  t.setRam64(PDPT + 8, 0x83n);
  assert.equal(read(t, 0x4000_0000n + 0x12_3456n), t.ram + 0x12_3456);
  t.setRam64(PDPT + 16, 0x2083n);
  assert.equal(
    pageFault(t, 0x8000_0000n, () => read(t, 0x8000_0000n)),
    9,
  );
  t.setRam64(PD + 9 * 8, 0x2083n);
  assert.equal(
    pageFault(t, 0x120_0000n, () => read(t, 0x120_0000n)),
    9,
  );
  t.setRam64(PML4 + 8, BigInt(PDPT) | 0x87n);
  const high = 0x80_0000_0000n;
  assert.equal(
    pageFault(t, high, () => read(t, high)),
    9,
    'PS in a PML4E',
  );
  t.setRam64(PML4 + 8, BigInt(PDPT) | 7n | (1n << 45n));
  assert.equal(
    pageFault(t, high, () => read(t, high)),
    9,
    'beyond MAXPHYADDR',
  );
  const bad = 0x8000_0000_0000n;
  assert.deepEqual(
    t.fault(() => read(t, bad)),
    { vector: 13, error: 0, address: high },
  );
  const stack = L.SEGMENTS + L.FLAT_SS * L.SEGMENT_SIZE;
  assert.equal(t.fault(() => t.rt.probe_read(bad - 4n, 8, stack))?.vector, 12);
});

test('rights: NX, SMEP, SMAP and AC, user and supervisor', () => {
  const t = longMode();
  t.setRam64(PT + 6 * 8, 0x6007n | (1n << 63n));
  assert.equal(
    pageFault(t, 0x6000n, () => t.rt.fetch_probe(0x6000n)),
    0x11,
  );
  assert.notEqual(t.rt.fetch_probe(0x7000n), 0, 'without SMEP the supervisor runs user code');
  t.setU64(L.CR4, 0x20n | (1n << 20n) | (1n << 21n));
  t.rt.flush_tlb_all();
  t.rt.update_mode();
  assert.equal(
    pageFault(t, 0x7000n, () => t.rt.fetch_probe(0x7000n)),
    0x11,
  );
  assert.equal(
    pageFault(t, 0x7000n, () => read(t, 0x7000n)),
    1,
  );
  assert.equal(
    pageFault(t, 0x7000n, () => write(t, 0x7000n)),
    3,
  );
  t.rt.write_flags(1n << 18n, 1n << 18n);
  assert.equal(read(t, 0x7000n), t.ram + 0x7000);
  assert.equal(write(t, 0x20_0000n), t.ram + 0x20_0000);
  t.rt.write_flags(0n, 1n << 18n);
  assert.equal(
    pageFault(t, 0x7000n, () => read(t, 0x7000n)),
    1,
  );
  t.setU32(L.CPL, 3);
  t.rt.update_mode();
  assert.equal(
    pageFault(t, 0x20_0000n, () => write(t, 0x20_0000n)),
    7,
  );
  assert.equal(
    pageFault(t, 0x20_0000n, () => t.rt.fetch_probe(0x20_0000n)),
    0x15,
  );
  assert.equal(read(t, 0x8000n), t.ram + 0x8000);
});

test('accesses across pages: both checked first, assembled where memory is not contiguous', () => {
  const t = longMode();
  // 0x10000 maps to 0x40000, 0x11000 to 0x30000.
  t.setRam64(PT + 16 * 8, 0x4_0007n);
  t.setRam64(PT + 17 * 8, 0x3_0007n);
  t.setRam32(0x4_0ffc, 0x4433_2211);
  t.setRam32(0x3_0000, 0x8877_6655);
  const at = t.rt.probe_rmw(0x1_0ffcn, 8, FLAT);
  assert.equal(at, t.cpu + L.BOUNCE);
  assert.equal(t.view.getBigUint64(at, true), 0x8877_6655_4433_2211n);
  t.view.setBigUint64(at, 0x0102_0304_0506_0708n, true);
  t.rt.commit();
  assert.equal(t.ram32(0x4_0ffc), 0x0506_0708);
  assert.equal(t.ram32(0x3_0000), 0x0102_0304);
  // Contiguous ones need no bounce.
  assert.equal(write(t, 0x5ffen), t.ram + 0x5ffe);
  t.setRam64(PT + 17 * 8, 0n);
  t.rt.invlpg(0x1_1000n);
  assert.equal(
    pageFault(t, 0x1_1000n, () => write(t, 0x1_0ffcn, 8)),
    2,
  );
  assert.equal(
    pageFault(t, 0x1_1000n, () => read(t, 0x1_0fffn, 2)),
    0,
  );
});

test('MMIO and ROM: parts go to the bus', () => {
  const t = longMode();
  t.setRam64(PT + 20 * 8, 0xfe00_0007n);
  t.mmioValue = 0x55;
  const at = read(t, 0x1_4004n, 8);
  assert.equal(at, t.cpu + L.BOUNCE);
  assert.deepEqual(t.mmio.splice(0), ['r4 fe000004', 'r4 fe000008']);
  const to = write(t, 0x1_4002n, 2);
  t.view.setUint16(to, 0xabcd, true);
  t.rt.commit();
  assert.deepEqual(t.mmio.splice(0), ['w2 fe000002 abcd']);
  t.view.setUint32(L.PHYS_MAP + 0x44 * 4, (t.ram + 0x4_4000) | L.PHYS_READ, true);
  t.setRam32(0x4_4000, 0x1234_5678);
  assert.equal(read(t, 0x4_4000n), t.ram + 0x4_4000);
  const rom = t.rt.probe_rmw(0x4_4000n, 4, FLAT);
  assert.equal(t.view.getUint32(rom, true), 0x1234_5678);
  t.rt.commit();
  assert.deepEqual(t.mmio, ['w4 44000 12345678']);
  assert.equal(t.fault(() => t.rt.fetch_probe(0x1_4000n))?.vector, 6);
});

/** The TLB's entry for `linear` in the table in use. */
function entry(t: TestCpu, linear: number): { read: bigint; write: bigint; fetch: bigint } {
  const at = t.u32(L.TLB_BASE) + ((linear >>> 12) & 1023) * L.TLB_ENTRY_SIZE;
  const tag = (offset: number): bigint => t.view.getBigInt64(at + offset, true);
  return { read: tag(L.TLB_READ), write: tag(L.TLB_WRITE), fetch: tag(L.TLB_FETCH) };
}

test('TLB: write tags wait for the dirty bit, code lines and the dirty log', () => {
  const t = longMode();
  read(t, 0x5000n);
  assert.deepEqual(entry(t, 0x5000), { read: 0x5000n, write: -1n, fetch: 0x5000n });
  write(t, 0x5000n);
  assert.equal(entry(t, 0x5000).write, 0x5000n);
  t.rt.mark_code(t.ram + 0x5100, 4);
  assert.equal(entry(t, 0x5000).write, -1n, 'the first code line drops the write tag');
  write(t, 0x5000n);
  const page = L.CODE_PAGES + ((t.ram + 0x5000) >>> 12) * L.CODE_PAGE_SIZE;
  assert.equal(t.view.getUint32(page, true), 0, 'another line: nothing was lost');
  t.setU32(L.BLOCK_REC, t.ram + 0x9000);
  t.setRam32(0x9004, 0x100);
  t.setRam16(0x9020, 0x77);
  write(t, 0x50ffn, 2);
  assert.equal(t.view.getUint32(page, true), 1);
  assert.equal(t.view.getBigUint64(page + 8, true), 0n);
  assert.equal(t.ram16(0x9020), 0, 'the running block ends');
  write(t, 0x5000n);
  t.rt.invlpg(0x5000n);
  assert.deepEqual(entry(t, 0x5000), { read: -1n, write: -1n, fetch: -1n });
  const word = L.PHYS_MAP + 6 * 4;
  t.view.setUint32(word, t.view.getUint32(word, true) | L.PHYS_LOG, true);
  t.setRam64(PT + 6 * 8, 0x6067n);
  read(t, 0x6000n);
  assert.equal(entry(t, 0x6000).write, -1n);
  write(t, 0x6000n);
  assert.equal(entry(t, 0x6000).write, 0x6000n);
  assert.equal(t.view.getUint32(word, true) & L.PHYS_DIRTY, L.PHYS_DIRTY);
});

test('TLB: INVLPG drops all of a large page; global pages outlive a move to CR3', () => {
  const t = longMode();
  t.setU64(L.CR4, 0x20n | (1n << 7n));
  t.setRam64(PT + 5 * 8, 0x5107n);
  read(t, 0x5000n);
  read(t, 0x6000n);
  read(t, 0x20_0000n);
  read(t, 0x20_3000n);
  read(t, 0x40_1000n);
  t.rt.invlpg(0x20_7000n);
  assert.equal(entry(t, 0x20_3000).read, -1n);
  t.rt.flush_tlb_nonglobal();
  assert.equal(entry(t, 0x5000).read, 0x5000n);
  assert.equal(entry(t, 0x6000).read, -1n);
  t.rt.flush_tlb_all();
  assert.equal(entry(t, 0x5000).read, -1n);
});

test('A20: bit 20 of physical addresses is masked while the gate is closed', () => {
  const t = protectedMode();
  assert.equal(read(t, 0x10_0000n), t.ram + 0x10_0000);
  t.view.setUint32(L.VM_A20, 0, true);
  t.rt.flush_tlb_all();
  assert.equal(read(t, 0x10_0000n), t.ram);
});

test('alignment checks: CPL 3 with AM and AC', () => {
  const t = longMode(3);
  t.setU64(L.CR0, t.u64(L.CR0) | (1n << 18n));
  t.rt.write_flags(1n << 18n, 1n << 18n);
  assert.equal(read(t, 0x5004n, 4), t.ram + 0x5004);
  assert.deepEqual(
    t.fault(() => read(t, 0x5002n, 4)),
    { vector: 17, error: 0, address: 0n },
  );
  assert.equal(read(t, 0x5001n, 16), t.ram + 0x5001, 'vectors have their own rules');
  const absent = t.fault(() => read(t, 0x20_0001n, 4));
  assert.equal(absent?.vector, 17, 'before the page is looked at');
});

test('segments: limits, expand-down, rights and null', () => {
  const t = protectedMode();
  const check = (ea: bigint, size: number, access = L.ACCESS_READ): number | undefined =>
    t.fault(() => t.rt.seg_check(DS, ea, size, access))?.vector;
  t.segment(L.DS, 0x10, 0x4093, 0n, 0xfff);
  assert.equal(check(0xffcn, 4), undefined);
  assert.equal(check(0xffdn, 4), 13);
  t.segment(L.DS, 0x10, 0x97, 0n, 0xfff);
  assert.equal(check(0xfffn, 1), 13);
  assert.equal(check(0x1000n, 4), undefined);
  assert.equal(check(0xfffdn, 4), 13, 'B = 0: up to FFFF');
  t.segment(L.DS, 0x10, 0x4091, 0n, 0xffff);
  assert.equal(check(0n, 4, L.ACCESS_WRITE), 13);
  t.segment(L.DS, 0x8, 0x4099, 0n, 0xffff);
  assert.equal(check(0n, 4), 13, 'code that may only be run');
  t.rt.load_seg(L.DS, 3);
  assert.equal(check(0n, 1), 13);
  assert.notEqual(t.u32(DS + L.SEG_CHECK), 0);
  t.rt.load_seg(L.DS, 0x10);
  assert.equal(t.u32(DS + L.SEG_CHECK), 0);
});
