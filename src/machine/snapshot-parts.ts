import { type Codec, CodecError, decode, encode, f64, struct } from '../base/codec.js';
import { ioapicCodec } from '../chipset/ioapic/state.js';
import { lapicCodec } from '../chipset/lapic/state.js';
import type { Device } from '../device/device.js';
import type { Vcpu } from '../engine/engine.js';
import { VCPU_RECORD_VERSION, vcpuRecordCodec } from '../engine/records.js';
import type { PcBoard } from './board-pc.js';
import type { MachineConfig, NamedFile } from './config.js';
import { CONFIG_VERSION, configCodec, type SavedConfig } from './config-codec.js';
import type { PcInterrupts } from './interrupts.js';
import type { MachineClock } from './machine-clock.js';
import { MachineError } from './machine-error.js';
import { MEMORY_PART, memoryParts, restoreMemory } from './memory-parts.js';
import { decodeFile, encodeFile, type Part, versionWanted } from './snapshot-file.js';

/** What of a machine is saved. */
export interface PartsOfMachine {
  readonly config: MachineConfig;
  readonly clock: MachineClock;
  readonly board: PcBoard;
  readonly vcpu: Vcpu;
  readonly interrupts: PcInterrupts;
}

const timeCodec = struct<{ nowNs: number; wallMs: number }>({
  nowNs: f64({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  wallMs: f64(),
});
const LAPIC_VERSION = 1;
const IOAPIC_VERSION = 1;
const TIME_VERSION = 1;

const CONFIG = 'config';
const TIME = 'time';
const VCPU = 'vcpu0';
const LAPIC = 'lapic0';
const IOAPIC = 'ioapic';

export function saveMachine(machine: PartsOfMachine): Uint8Array {
  const { config, clock, board, vcpu } = machine;
  const part = <T>(name: string, version: number, codec: Codec<T>, value: T): Part => ({
    name,
    version,
    data: encode(codec, value),
  });
  const time = { nowNs: clock.nowNs(), wallMs: clock.wallMs() };
  return encodeFile([
    part(CONFIG, CONFIG_VERSION, configCodec, config),
    part(TIME, TIME_VERSION, timeCodec, time),
    part(IOAPIC, IOAPIC_VERSION, ioapicCodec, machine.interrupts.getIoApic()),
    part(LAPIC, LAPIC_VERSION, lapicCodec, vcpu.getLocalApic()),
    ...board.devices.map((device) =>
      part(device.name, device.stateVersion, device.stateCodec, device.save()),
    ),
    part(VCPU, VCPU_RECORD_VERSION, vcpuRecordCodec, vcpu.getRecord()),
    ...memoryParts(board.memory.ram),
  ]);
}

/** A snapshot taken apart and checked: every part there once, none unknown, all sums right. */
export class Snapshot {
  readonly config: SavedConfig;
  private readonly parts = new Map<string, Part>();
  private readonly memory: Part[] = [];

  /** Throws {@link MachineError} `bad-input`. */
  constructor(private readonly file: NamedFile) {
    for (const part of decodeFile(file.name, file.data)) {
      if (part.name === MEMORY_PART) this.memory.push(part);
      else if (this.parts.has(part.name)) throw this.bad(part.name, 'it twice', 'it once');
      else this.parts.set(part.name, part);
    }
    this.config = this.take(CONFIG, CONFIG_VERSION, configCodec);
  }

  /** Into a machine made from {@link config} that has not run. */
  restore(machine: PartsOfMachine): void {
    const { clock, board, vcpu, interrupts } = machine;
    // All is decoded before anything is changed.
    const time = this.take(TIME, TIME_VERSION, timeCodec);
    const ioApic = this.take(IOAPIC, IOAPIC_VERSION, ioapicCodec);
    const lapic = this.take(LAPIC, LAPIC_VERSION, lapicCodec);
    const record = this.take(VCPU, VCPU_RECORD_VERSION, vcpuRecordCodec);
    const devices = board.devices.map((device: Device<unknown>) => ({
      device,
      state: this.take(device.name, device.stateVersion, device.stateCodec),
    }));
    const left = [...this.parts.keys()][0];
    if (left !== undefined) throw this.bad(left, 'a part of this name', 'none: it is not known');
    clock.set(time.nowNs, time.wallMs);
    restoreMemory(this.file.name, this.memory, board.memory.ram);
    board.memory.allWritten();
    interrupts.setIoApic(ioApic);
    vcpu.setLocalApic(lapic);
    for (const { device, state } of devices) device.restore(state);
    vcpu.setRecord(record);
  }

  private take<T>(name: string, version: number, codec: Codec<T>): T {
    const part = this.parts.get(name);
    if (part === undefined) throw this.bad(name, 'nothing', 'it');
    this.parts.delete(name);
    if (part.version !== version) {
      throw this.bad(name, `version ${part.version}`, versionWanted(part.version, version));
    }
    try {
      return decode(codec, part.data, name);
    } catch (cause) {
      if (!(cause instanceof CodecError)) throw cause;
      throw new MachineError('bad-input', `${this.file.name}: ${cause.message}`, { cause });
    }
  }

  private bad(field: string, found: string, wanted: string): MachineError {
    return new MachineError(
      'bad-input',
      `${this.file.name}: ${field}: found ${found}, wanted ${wanted}`,
    );
  }
}
