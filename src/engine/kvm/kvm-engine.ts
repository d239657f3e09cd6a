import { constants } from 'node:buffer';
import type { CpuidEntry } from '../../cpu/state/cpuid.js';
import { type Engine, EngineError, type Vm, type VmOptions } from '../engine.js';
import { checked } from './arguments.js';
import { supportedCpuid } from './kvm-cpuid.js';
import { KvmVm } from './kvm-vm.js';
import { type Libc, libc } from './libc.js';
import { KVM_DEVICE, type KvmReport, openKvm } from './probe.js';
import { ioctl } from './registers.js';

export interface KvmEngineOptions {
  /** Default `/dev/kvm`. */
  readonly device?: string;
  /** Default: the process's own. */
  readonly libc?: Libc;
}

/** Throws {@link EngineError} `unavailable` with one sentence that says what is wrong and what helps. */
export function loadKvmEngine(options: KvmEngineOptions = {}): KvmEngine {
  const { device = KVM_DEVICE } = options;
  let c: Libc;
  try {
    c = options.libc ?? libc();
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
  readonly maxMemoryBytes = Math.min(constants.MAX_LENGTH, 2 ** 40) - BESIDE_MEMORY;
  /** The rate of the guest's TSC. */
  readonly tscKhz: number;

  constructor(
    readonly libc: Libc,
    readonly fd: number,
    readonly report: KvmReport,
  ) {
    this.maxVcpus = report.capabilities.MAX_VCPUS || 1;
    this.tscKhz = this.measureTsc();
  }

  cpuid(vcpus: number): CpuidEntry[] {
    return supportedCpuid(this.libc, this.fd, vcpus, this.tscKhz);
  }

  createVm(options: VmOptions): Vm {
    const { vcpus, memoryBytes } = options;
    if (vcpus > this.maxVcpus) {
      throw new EngineError('limit', `${vcpus} vCPUs, this host's KVM has ${this.maxVcpus}`);
    }
    if (memoryBytes > this.maxMemoryBytes + BESIDE_MEMORY) {
      throw new EngineError('limit', `${memoryBytes} bytes of memory do not fit the kvm engine`);
    }
    return new KvmVm(this, options);
  }

  /** Only a vCPU can be asked. */
  private measureTsc(): number {
    const { libc: c } = this;
    const vm = checked(c.ioctlNumber(this.fd, ioctl.CREATE_VM, 0), 'a virtual machine');
    const vcpu = c.ioctlNumber(vm, ioctl.CREATE_VCPU, 0);
    const khz = vcpu < 0 ? vcpu : c.ioctlNumber(vcpu, ioctl.GET_TSC_KHZ, 0);
    if (vcpu >= 0) c.close(vcpu);
    c.close(vm);
    return checked(khz, 'a vCPU');
  }
}

/** ROMs, and room for huge pages. */
const BESIDE_MEMORY = 0x0200_0000;
