import type { Exit, InlineBus } from '../engine/engine.js';

/** Exits of engines that do not ask the bus themselves: what a port or MMIO access gets. */

export function answerIo(bus: InlineBus, exit: Extract<Exit, { kind: 'io' }>): void {
  const { port, size, direction, count, data } = exit;
  for (let at = 0; at < size * count; at += size) {
    if (direction === 'in') put(data, at, size, bus.portRead(port, size));
    else bus.portWrite(port, size, get(data, at, size));
  }
}

/** In pieces that a bus takes: a CPU splits what crosses a page, and stores up to 8 bytes. */
export function answerMmio(bus: InlineBus, exit: Extract<Exit, { kind: 'mmio' }>): void {
  const { gpa, direction, data } = exit;
  for (let at = 0; at < data.length; ) {
    const left = data.length - at;
    const size = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    if (direction === 'read') put(data, at, size, bus.mmioRead(gpa + at, size));
    else bus.mmioWrite(gpa + at, size, get(data, at, size));
    at += size;
  }
}

function get(data: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value |= data[at + i]! << (8 * i);
  return value >>> 0;
}

function put(data: Uint8Array, at: number, size: number, value: number): void {
  for (let i = 0; i < size; i++) data[at + i] = value >>> (8 * i);
}
