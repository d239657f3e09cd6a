import { MAC_BYTES, MAX_MACS, rxMode, VLANS } from './registers.js';
import type { RxFilterState } from './state.js';

const BROADCAST = 2 ** 48 - 1;
const VLAN_TYPE = 0x8100;
const AFTER_MACS = 12;

/** Which frames a driver wants to see. Best effort: too long a list lets everything in. */
export class RxFilter {
  /** All is let in until the driver says otherwise. */
  private mode = 1 << rxMode.promiscuous;
  private macs = new Set<number>();
  private vlans = new Uint8Array(VLANS / 8);

  /** `own`: the device's address. VLANs count only where the driver negotiated to filter them. */
  admits(frame: Uint8Array, own: Uint8Array, filtersVlans: boolean): boolean {
    if (filtersVlans && frame[AFTER_MACS]! * 256 + frame[AFTER_MACS + 1]! === VLAN_TYPE) {
      const vlan = ((frame[AFTER_MACS + 2]! & 0x0f) << 8) | frame[AFTER_MACS + 3]!;
      if (((this.vlans[vlan >> 3]! >> (vlan & 7)) & 1) === 0) return false;
    }
    if (this.is(rxMode.promiscuous)) return true;
    const to = macNumber(frame, 0);
    if (to === BROADCAST) return !this.is(rxMode.noBroadcast);
    const isListed = this.macs.has(to);
    if ((frame[0]! & 1) !== 0) {
      return !this.is(rxMode.noMulti) && (isListed || this.is(rxMode.allMulti));
    }
    if (this.is(rxMode.noUni)) return false;
    return isListed || this.is(rxMode.allUni) || to === macNumber(own, 0);
  }

  private is(bit: number): boolean {
    return ((this.mode >> bit) & 1) !== 0;
  }

  /** A command of class `rx`; false if there is none such. */
  setMode(command: number, data: Uint8Array): boolean {
    if (command > rxMode.noBroadcast || data.length !== 1 || data[0]! > 1) return false;
    this.mode = (this.mode & ~(1 << command)) | (data[0]! << command);
    return true;
  }

  /** Two tables, each a count and so many addresses; false if they are cut. */
  setMacs(data: Uint8Array): boolean {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const macs = new Set<number>();
    let at = 0;
    for (let table = 0; table < 2; table++) {
      if (at + 4 > data.length) return false;
      const count = view.getUint32(at, true);
      at += 4;
      if (count * MAC_BYTES > data.length - at) return false;
      for (let i = 0; i < count; i++, at += MAC_BYTES) macs.add(macNumber(data, at));
    }
    if (at !== data.length) return false;
    if (macs.size > MAX_MACS) this.mode |= (1 << rxMode.allMulti) | (1 << rxMode.allUni);
    this.macs = macs.size > MAX_MACS ? new Set() : macs;
    return true;
  }

  setVlan(data: Uint8Array, isWanted: boolean): boolean {
    const vlan = (data[0] ?? 0) | ((data[1] ?? 0) << 8);
    if (data.length !== 2 || vlan >= VLANS) return false;
    const bit = 1 << (vlan & 7);
    this.vlans[vlan >> 3]! &= ~bit;
    if (isWanted) this.vlans[vlan >> 3]! |= bit;
    return true;
  }

  reset(): void {
    this.restore({ mode: 1 << rxMode.promiscuous, macs: [], vlans: new Uint8Array(VLANS / 8) });
  }

  save(): RxFilterState {
    return { mode: this.mode, macs: [...this.macs].map(macBytes), vlans: this.vlans.slice() };
  }

  restore({ mode, macs, vlans }: RxFilterState): void {
    this.mode = mode;
    this.macs = new Set(macs.map((mac) => macNumber(mac, 0)));
    this.vlans = vlans.slice();
  }
}

function macBytes(mac: number): Uint8Array {
  return Uint8Array.from({ length: MAC_BYTES }, (_, i) => mac / 256 ** (MAC_BYTES - 1 - i));
}

function macNumber(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < MAC_BYTES; i++) value = value * 256 + bytes[at + i]!;
  return value;
}
