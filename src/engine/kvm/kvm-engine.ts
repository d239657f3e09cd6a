import { constants } from 'node:buffer';
import { type Engine, EngineError, type Vm, type VmOptions } from '../engine.js';
import { type Libc, libc } from './libc.js';
import { KVM_DEVICE, type KvmReport, openKvm } from './probe.js';

export interface KvmEngineOptions {
  /** Default `/dev/kvm`. */
  readonly device?: string;
}

/** Throws {@link EngineError} `unavailable` with one sentence that says what is wrong and what helps. */
export function loadKvmEngine({ device = KVM_DEVICE }: KvmEngineOptions = {}): KvmEngine {
  let c: Libc;
  try {
    c = libc();
  } catch (cause) {
    const message = `no C library for the kvm engine: it needs Linux with glibc (${cause})`;
    throw new EngineError('unavailable', message, { cause: undefined });
  }
  const { fd, report } = openKvm(device, c);
  return new KvmEngine(c, fd, report);
}

/** The host's CPU through `/dev/kvm`. */
export class KvmEngine implements Engine {
  readonly name = 'kvm';
  readonly maxVcpus: number;
  /** As far as one array reaches: 4 GiB under Node 20. */
  readonly maxMemoryBytes = Math.min(constants.MAX_LENGTH, 2 ** 40);

  constructor(
    readonly libc: Libc,
    readonly fd: number,
    readonly report: KvmReport,
  ) {
    this.maxVcpus = report.capabilities.MAX_VCPUS || 1;
  }

  createVm(_options: VmOptions): Vm {
    throw new EngineError('unavailable', 'the kvm engine is not built yet');
  }
}
