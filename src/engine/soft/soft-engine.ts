import { DecodeTables } from '../../cpu/interp/decode-block.js';
import { instructionTable } from '../../cpu/isa/index.js';
import { type CpuidEntry, defaultCpuid } from '../../cpu/state/cpuid.js';
import * as layout from '../../cpu/state/layout.js';
import { type Engine, EngineError, type Vm, type VmOptions } from '../engine.js';
import type { SoftCode } from './soft-code.js';
import { SoftVm } from './soft-vm.js';

/** 4 GiB of wasm memory, less the engine's own, in whole 256 MiB: 3.5 GiB. */
const MAX_MEMORY_BYTES = 0xe000_0000;
/** ROMs beside the RAM. */
const MAX_ROM_BYTES = 0x0110_0000;

export interface SoftOptions {
  /** Translate code that is run often. */
  readonly jit?: 'on' | 'off';
  /** How often a block is run by the interpreter before it is translated. */
  readonly jitThreshold?: number;
  /** Whether a thread beside the guest's does so, where the host has one; by default unless `jitThreshold` is low. */
  readonly jitBeside?: boolean;
  /** Most bytes of WebAssembly that translated code may have. */
  readonly jitCodeBytes?: number;
  /** Run translated code by the interpreter too; the first difference is an internal error. */
  readonly check?: boolean;
  readonly trace?: JitTracing;
}

export interface JitTracing {
  /** Gets a line for each region that is translated, and statistics when the VM is closed. */
  print(line: string): void;
  /** Gets what prints the statistics so far. */
  onAsk?(show: () => void): void;
}

/** An x86-64 CPU of our own: works wherever WebAssembly does. */
export class SoftEngine implements Engine {
  readonly name = 'soft';
  /** More need a worker each, which is not there yet. */
  readonly maxVcpus = 1;
  readonly maxMemoryBytes = MAX_MEMORY_BYTES;

  private readonly tables = new DecodeTables(instructionTable);

  constructor(
    private readonly code: SoftCode,
    private readonly options: SoftOptions = {},
  ) {}

  cpuid(vcpus: number): CpuidEntry[] {
    return defaultCpuid(vcpus);
  }

  createVm(options: VmOptions): Vm {
    const { vcpus, memoryBytes } = options;
    if (vcpus > layout.MAX_VCPUS) {
      throw new EngineError('limit', `${vcpus} vCPUs, the soft engine has ${layout.MAX_VCPUS}`);
    }
    if (memoryBytes > MAX_MEMORY_BYTES + MAX_ROM_BYTES) {
      throw new EngineError('limit', `${memoryBytes} bytes of memory do not fit the soft engine`);
    }
    return new SoftVm(
      this.code,
      this.tables,
      options,
      this.options.jit === 'on' ? this.options : null,
    );
  }
}
