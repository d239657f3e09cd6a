import { array, type Codec, CodecError, decode, encode, f64, struct, u32 } from '../base/codec.js';
import { ioapicCodec } from '../chipset/ioapic/state.js';
import { lapicCodec } from '../chipset/lapic/state.js';
import { CPUID_MAX_ENTRIES, type CpuidEntry } from '../cpu/state/cpuid.js';
import type { Device } from '../device/device.js';
import { missingFeatures } from '../engine/cpu-models.js';
import type { Engine, Vcpu, Vm } from '../engine/engine.js';
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
  readonly vcpus: readonly Vcpu[];
  readonly vm: Vm;
  readonly interrupts: PcInterrupts;
}

const timeCodec = struct<{ nowNs: number; wallMs: number }>({
  nowNs: f64({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  wallMs: f64(),
});
const LAPIC_VERSION = 1;
const IOAPIC_VERSION = 1;
const TIME_VERSION = 1;
const CPUID_VERSION = 1;

const cpuidCodec: Codec<CpuidEntry[]> = array(
  struct<CpuidEntry>({
    leaf: u32(),
    subleaf: u32(),
    eax: u32(),
    ebx: u32(),
    ecx: u32(),
    edx: u32(),
  }),
  CPUID_MAX_ENTRIES,
);

const CONFIG = 'config';
const TIME = 'time';
const CPUID = 'cpuid';
const VCPU = (index: number) => `vcpu${index}`;
const LAPIC = (index: number) => `lapic${index}`;
const IOAPIC = 'ioapic';

export function saveMachine(machine: PartsOfMachine): Uint8Array {
  const { config, clock, board, vcpus, vm } = machine;
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
    part(CPUID, CPUID_VERSION, cpuidCodec, [...vm.cpuid]),
    ...vcpus.map((vcpu, i) => part(LAPIC(i), LAPIC_VERSION, lapicCodec, vcpu.getLocalApic())),
    ...board.devices.map((device) =>
      part(device.name, device.stateVersion, device.stateCodec, device.save()),
    ),
    ...vcpus.map((vcpu, i) =>
      part(VCPU(i), VCPU_RECORD_VERSION, vcpuRecordCodec, vcpu.getRecord()),
    ),
    ...memoryParts(board.memory.ram),
  ]);
}

/** A snapshot taken apart and checked: every part there once, none unknown, all sums right. */
export class Snapshot {
  readonly config: SavedConfig & { readonly cpuid: readonly CpuidEntry[] };
  private readonly parts = new Map<string, Part>();
  private readonly memory: Part[] = [];

  /** Throws {@link MachineError} `bad-input`. */
  constructor(private readonly file: NamedFile) {
    for (const part of decodeFile(file.name, file.data)) {
      if (part.name === MEMORY_PART) this.memory.push(part);
      else if (this.parts.has(part.name)) throw this.bad(part.name, 'it twice', 'it once');
      else this.parts.set(part.name, part);
    }
    const cpuid = this.take(CPUID, CPUID_VERSION, cpuidCodec);
    this.config = { ...this.take(CONFIG, CONFIG_VERSION, configCodec), cpuid };
  }

  /** Throws {@link MachineError} `bad-input` that names what the guest has and this engine has not. */
  checkFeatures(engine: Engine): void {
    const missing = missingFeatures(this.config.cpuid, engine.cpuid(this.config.cpus));
    if (missing.length === 0) return;
    throw this.bad(
      CPUID,
      `a guest whose CPU has ${missing.join(', ')}`,
      `only what the ${engine.name} engine has here, as a machine with the CPU model "common" would`,
    );
  }

  /** Into a machine made from {@link config} that has not run. */
  restore(machine: PartsOfMachine): void {
    const { clock, board, vcpus, interrupts } = machine;
    // All is decoded before anything is changed.
    const time = this.take(TIME, TIME_VERSION, timeCodec);
    const ioApic = this.take(IOAPIC, IOAPIC_VERSION, ioapicCodec);
    const cpus = vcpus.map((vcpu, i) => ({
      vcpu,
      lapic: this.take(LAPIC(i), LAPIC_VERSION, lapicCodec),
      record: this.take(VCPU(i), VCPU_RECORD_VERSION, vcpuRecordCodec),
    }));
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
    for (const { vcpu, lapic } of cpus) vcpu.setLocalApic(lapic);
    for (const { device, state } of devices) device.restore(state);
    for (const { vcpu, record } of cpus) vcpu.setRecord(record);
    board.giveChips();
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
