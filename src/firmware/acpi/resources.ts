/** Resource descriptors, the contents of _CRS and _PRS. Sections of ACPI 6.4. */
import { concat, setU64 } from '../bytes.js';
import { buffer } from './aml.js';

/** ResourceTemplate(){...}: the descriptors and an end tag whose checksum 0 means "unchecked". [6.4.2.9] */
export const resourceTemplate = (...descriptors: readonly Uint8Array[]): Uint8Array =>
  buffer(concat(...descriptors, Uint8Array.of(0x79, 0)));

/** IO(Decode16, base, base, 1, length). [6.4.2.5] */
export const ioPorts = (base: number, length: number): Uint8Array =>
  Uint8Array.of(0x47, 1, base & 0xff, base >> 8, base & 0xff, base >> 8, 1, length);

/** IRQNoFlags(){irq}: edge-triggered, active high, not shared. [6.4.2.1] */
export const isaIrq = (irq: number): Uint8Array =>
  Uint8Array.of(0x22, (1 << irq) & 0xff, (1 << irq) >> 8);

/** Where the interrupt number stands in {@link levelInterrupts}, for CreateDWordField. */
export const INTERRUPT_NUMBER_OFFSET = 5;

/** Interrupt(ResourceConsumer, Level, ActiveHigh, Shared){numbers}. [6.4.3.6] */
export function levelInterrupts(...numbers: readonly number[]): Uint8Array {
  const out = new Uint8Array(5 + numbers.length * 4);
  const view = new DataView(out.buffer);
  out[0] = 0x89;
  view.setUint16(1, 2 + numbers.length * 4, true);
  out[3] = 0x09;
  out[4] = numbers.length;
  for (const [i, number] of numbers.entries()) view.setUint32(5 + i * 4, number, true);
  return out;
}

/** Memory32Fixed(ReadWrite, base, length). [6.4.3.4] */
export function fixedMemory(base: number, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(12));
  view.setUint8(0, 0x86);
  view.setUint16(1, 9, true);
  view.setUint8(3, 1);
  view.setUint32(4, base, true);
  view.setUint32(8, length, true);
  return new Uint8Array(view.buffer);
}

const MEMORY = 0;
const IO = 1;
const BUS = 2;
/** ResourceProducer, positive decode, both ends fixed. [6.4.3.5] */
const PRODUCER_FIXED = 0x0c;

function addressSpace(
  tag: number,
  width: 2 | 4 | 8,
  kind: number,
  typeFlags: number,
  first: number,
  last: number,
): Uint8Array {
  const out = new Uint8Array(6 + width * 5);
  const view = new DataView(out.buffer);
  out[0] = tag;
  view.setUint16(1, out.length - 3, true);
  out[3] = kind;
  out[4] = PRODUCER_FIXED;
  out[5] = typeFlags;
  for (const [i, value] of [0, first, last, 0, last - first + 1].entries()) {
    if (width === 2) view.setUint16(6 + i * 2, value, true);
    else if (width === 4) view.setUint32(6 + i * 4, value, true);
    else setU64(view, 6 + i * 8, value);
  }
  return out;
}

/** WordBusNumber. [6.4.3.5.3] */
export const busNumbers = (first: number, last: number): Uint8Array =>
  addressSpace(0x88, 2, BUS, 0, first, last);

/** WordIO, the entire range for ISA and non-ISA alike. [6.4.3.5.3] */
export const ioWindow = (first: number, last: number): Uint8Array =>
  addressSpace(0x88, 2, IO, 3, first, last);

/** DWordMemory, read-write, cacheable where a frame buffer is meant. [6.4.3.5.2] */
export const memoryWindow = (first: number, last: number, cacheable = false): Uint8Array =>
  addressSpace(0x87, 4, MEMORY, cacheable ? 3 : 1, first, last);
