import { type Segment, type VcpuRecord, XSAVE_BYTES } from './records.js';

const realSegment = (selector: number, attributes: number, limit = 0xffff): Segment => ({
  selector,
  attributes,
  unusable: false,
  limit,
  base: BigInt(selector) << 4n,
});

const DATA = 0x93;
const CODE = 0x9b;
const LDT = 0x82;
const BUSY_TSS = 0x8b;

/** IA32_PAT after a reset [SDM 3A 12.12.4]. */
const PAT_RESET = 0x0007_0406_0007_0406n;
/** Fast strings; no branch trace storage, no PEBS. */
const MISC_ENABLE_RESET = 0x1801n;

/** MSRs after power-on that are not zero. */
const msrsAtPowerOn = [
  { index: 0x277, value: PAT_RESET },
  { index: 0x1a0, value: MISC_ENABLE_RESET },
];

/** x87 after FNINIT, SSE with all exceptions masked [SDM 3A table 10-1]. */
function xsaveAtPowerOn(): Uint8Array {
  const area = new Uint8Array(XSAVE_BYTES);
  const view = new DataView(area.buffer);
  // Power-on is not FNINIT: 0x0040, all registers valid zeros.
  view.setUint16(0, 0x0040, true);
  view.setUint8(4, 0xff);
  view.setUint32(24, 0x1f80, true);
  view.setUint32(28, 0xffff, true);
  view.setUint8(512, 3);
  return area;
}

/**
 * State after power-on or reset, and after INIT: that leaves x87, SSE, MSRs and the caching bits of CR0
 * alone [SDM 3A table 10-1]. `signature` is what CPUID leaf 1 says in EAX: EDX holds it.
 */
export function resetRecord(
  kind: 'power-on' | 'init',
  signature: number,
  bootProcessor: boolean,
  before: VcpuRecord,
): VcpuRecord {
  const gpr = Array<bigint>(16).fill(0n);
  gpr[2] = BigInt(signature);
  const caching = kind === 'init' ? before.system.cr0 & 0x6000_0000n : 0x6000_0000n;
  return {
    registers: { gpr, rip: 0xfff0n, rflags: 2n },
    system: {
      segments: [
        realSegment(0, DATA),
        { ...realSegment(0xf000, CODE), base: 0xffff_0000n },
        realSegment(0, DATA),
        realSegment(0, DATA),
        realSegment(0, DATA),
        realSegment(0, DATA),
        realSegment(0, LDT),
        realSegment(0, BUSY_TSS),
      ],
      gdtr: { base: 0n, limit: 0xffff },
      idtr: { base: 0n, limit: 0xffff },
      cr0: 0x10n | caching,
      cr2: 0n,
      cr3: 0n,
      cr4: 0n,
      cr8: 0n,
      efer: 0n,
      xcr0: kind === 'init' ? before.system.xcr0 : 1n,
      dr: [0n, 0n, 0n, 0n],
      dr6: 0xffff_0ff0n,
      dr7: 0x400n,
    },
    xsave: kind === 'init' ? before.xsave : xsaveAtPowerOn(),
    msrs: kind === 'init' ? before.msrs : msrsAtPowerOn,
    events: {
      exception: { pending: false, vector: 0, hasError: false, error: 0, kind: 0, address: 0n },
      delivering: -1,
      shadow: false,
      shadowSs: false,
      nmiPending: false,
      nmiBlocked: false,
      activity: bootProcessor ? 0 : 2,
      monitor: 0xffff_ffff_ffff_ffffn,
    },
  };
}
