import type { ChipRecords, IoApicRecord, PicRecord, PitChannelRecord } from '../records.js';
import * as r from './registers.js';

/** The kernel's chips as the machine's own devices save them, and back. */

const IOAPIC_PINS = 24;
const IOAPIC_BASE = 0xfec0_0000n;
/** Redirection entry: delivery status, and bits that are not there. */
const ENTRY_VALID = 0xff00_0000_0001_efffn;
const LEVEL_TRIGGERED = 1n << 15n;
const ELCR_MASKS = [0xf8, 0xde];
const CASCADE = 1 << 2;
const TIMER = 1 << 0;
const expects = ['mask', 'icw2', 'icw3', 'icw4'] as const;

/** Fields of a record, and what the kernel calls them. */
const picNumbers = {
  ...{ lines: 'last_irr', irr: 'irr', isr: 'isr', imr: 'imr', elcr: 'elcr' },
  ...{ vectorBase: 'irq_base', topPriority: 'priority_add' },
} as const;
const picFlags = {
  ...{ icw4Follows: 'init4', autoEoi: 'auto_eoi', rotateInAutoEoi: 'rotate_on_auto_eoi' },
  ...{ specialMask: 'special_mask', specialFullyNested: 'special_fully_nested_mode' },
  ...{ readIsr: 'read_reg_select', poll: 'poll' },
} as const;
const picFields = Object.entries({ ...picNumbers, ...picFlags }) as [
  keyof PicRecord,
  keyof typeof r.pic,
][];

export function picFromKvm(view: DataView): PicRecord {
  const byte = (field: keyof typeof r.pic) => view.getUint8(r.irqchip.chip + r.pic[field]);
  const fields = picFields.map(([ours, theirs]) => {
    const value = byte(theirs);
    return [ours, ours in picFlags ? value !== 0 : value];
  });
  const more = { expects: expects[byte('init_state') & 3]!, single: false };
  return { ...(Object.fromEntries(fields) as PicRecord), ...more };
}

export function picToKvm(view: DataView, chip: 0 | 1, pic: PicRecord): void {
  const put = (field: keyof typeof r.pic, value: number) =>
    view.setUint8(r.irqchip.chip + r.pic[field], value);
  view.setUint32(r.irqchip.chip_id, chip, true);
  for (const [ours, theirs] of picFields) put(theirs, Number(pic[ours]));
  put('init_state', expects.indexOf(pic.expects));
  put('elcr_mask', ELCR_MASKS[chip]!);
  // The kernel pulses these; a level left on one would hide the next edge.
  if (chip === 0) put('last_irr', pic.lines & ~(CASCADE | TIMER));
}

/** `lines`: the levels that the machine has put on the inputs. */
export function ioApicFromKvm(view: DataView, lines: number): IoApicRecord {
  const at = r.irqchip.chip;
  return {
    id: view.getUint32(at + r.ioapic.id, true) & 0xf,
    select: view.getUint32(at + r.ioapic.ioregsel, true) & 0xff,
    redirection: Array.from(
      { length: IOAPIC_PINS },
      (_, pin) => view.getBigUint64(at + r.ioapic.redirtbl + 8 * pin, true) & ENTRY_VALID,
    ),
    lines,
  };
}

export function ioApicToKvm(view: DataView, record: IoApicRecord): void {
  const at = r.irqchip.chip;
  view.setUint32(r.irqchip.chip_id, r.irqchip.IOAPIC, true);
  view.setBigUint64(at + r.ioapic.base_address, IOAPIC_BASE, true);
  view.setUint32(at + r.ioapic.ioregsel, record.select, true);
  view.setUint32(at + r.ioapic.id, record.id, true);
  let levels = 0;
  for (let pin = 0; pin < IOAPIC_PINS; pin++) {
    const entry = record.redirection[pin] ?? 1n << 16n;
    view.setBigUint64(at + r.ioapic.redirtbl + 8 * pin, entry, true);
    // What is high the kernel delivers anew: right for levels, once too often for edges.
    if ((entry & LEVEL_TRIGGERED) !== 0n) levels |= record.lines & (1 << pin);
  }
  view.setUint32(at + r.ioapic.irr, levels >>> 0, true);
}

const PIT_HZ = 1_193_182;
const CHANNELS = 3;
/** The kernel's for a counter that no control word was written to. */
const NO_MODE = 0xff;
/** read_state and write_state: which byte is next; with both bytes, low and then high. */
const state = { low: 1, high: 2, bothLow: 3, bothHigh: 4 } as const;
const BOTH = 3;
const PORT_B_GATE2 = 1;
const PORT_B_DATA = 2;

/** `tick`: now on the machine's clock; `nowNs`: now on the host's monotonic clock. */
export function pitFromKvm(view: DataView, tick: number, nowNs: bigint): ChipRecords['pit'] {
  const channels = Array.from({ length: CHANNELS }, (_, i): PitChannelRecord => {
    const at = i * r.pit.channelBytes;
    const byte = (offset: number) => view.getUint8(at + offset);
    const count = view.getUint32(at + r.pit.count, true) || 0x1_0000;
    const loaded = view.getBigInt64(at + r.pit.count_load_time, true);
    // Where counter 0 is in its period the kernel does not say.
    const elapsed = i === 0 ? 0 : Math.floor((Number(nowNs - loaded) * PIT_HZ) / 1e9);
    const untouched = byte(r.pit.mode) === NO_MODE;
    const access = byte(r.pit.rw_mode) & BOTH || BOTH;
    const gate = byte(r.pit.gate) !== 0;
    return {
      mode: untouched ? 0 : Math.min(byte(r.pit.mode), 5),
      bcd: byte(r.pit.bcd) !== 0,
      access,
      reload: count & 0xffff,
      lowByte: byte(r.pit.write_latch),
      awaitsHighByte: byte(r.pit.write_state) === state.bothHigh,
      readsHighByte: byte(r.pit.read_state) === state.bothHigh,
      countLatched: byte(r.pit.count_latched) !== 0,
      latchedCount: view.getUint16(at + r.pit.latched_count, true),
      statusLatched: byte(r.pit.status_latched) !== 0,
      latchedStatus: byte(r.pit.status),
      gate,
      phase: untouched ? 'idle' : 'counting',
      period: count,
      elapsed: untouched ? 0 : Math.max(0, elapsed),
      since: tick,
      running: !untouched && gate,
    };
  });
  const speaker = (view.getUint32(r.pit.flags, true) & r.pit.SPEAKER_DATA_ON) !== 0;
  const portB = (channels[2]!.gate ? PORT_B_GATE2 : 0) | (speaker ? PORT_B_DATA : 0);
  return { channels, portB, irqHigh: false, irqTick: tick };
}

/** The kernel starts every counter anew; a guest sees one period that is longer. */
export function pitToKvm(view: DataView, pit: ChipRecords['pit']): void {
  pit.channels.forEach((channel, i) => {
    const at = i * r.pit.channelBytes;
    const byte = (offset: number, value: number | boolean) =>
      view.setUint8(at + offset, Number(value));
    const untouched = channel.phase === 'idle' && channel.mode === 0 && !channel.awaitsHighByte;
    const next = (high: boolean) =>
      channel.access !== BOTH ? channel.access : high ? state.bothHigh : state.bothLow;
    const count = channel.phase === 'idle' ? channel.reload || 0x1_0000 : channel.period;
    view.setUint32(at + r.pit.count, count, true);
    view.setUint16(at + r.pit.latched_count, channel.latchedCount, true);
    byte(r.pit.count_latched, channel.countLatched ? next(channel.readsHighByte) : 0);
    byte(r.pit.status_latched, channel.statusLatched);
    byte(r.pit.status, channel.latchedStatus);
    byte(r.pit.read_state, next(channel.readsHighByte));
    byte(r.pit.write_state, next(channel.awaitsHighByte));
    byte(r.pit.write_latch, channel.lowByte);
    byte(r.pit.rw_mode, channel.access);
    byte(r.pit.mode, untouched ? NO_MODE : channel.mode);
    byte(r.pit.bcd, channel.bcd);
    byte(r.pit.gate, channel.gate);
    view.setBigInt64(at + r.pit.count_load_time, 0n, true);
  });
  view.setUint32(r.pit.flags, pit.portB & PORT_B_DATA ? r.pit.SPEAKER_DATA_ON : 0, true);
}

/** No counter counts. */
export function stopPit(view: DataView): void {
  for (let i = 0; i < CHANNELS; i++) view.setUint8(i * r.pit.channelBytes + r.pit.mode, NO_MODE);
}

/** Ticks of the 8254 on a clock. */
export function pitTick(nowNs: number): number {
  return Math.floor((nowNs * PIT_HZ) / 1e9);
}
