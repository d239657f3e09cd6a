import { existsSync } from 'node:fs';
import { EngineError } from '../engine.js';
import { errorName, type Libc, libc, O_CLOEXEC, O_RDWR } from './libc.js';
import { API_VERSION, cap, ioctl } from './registers.js';

/** What this host's KVM can do, or why it cannot be had. */
export interface KvmReport {
  /** The engine can work. */
  readonly usable: boolean;
  /** `software`: ring 0 of the guest is emulated, about a hundred times slower than ring 3. */
  readonly kind: 'hardware' | 'software' | 'none';
  /** Of the kernel module: `kvm_intel`. */
  readonly module?: string;
  readonly apiVersion?: number;
  /** What CHECK_EXTENSION answered, by name; 0: not there. */
  readonly capabilities: Readonly<Partial<Record<keyof typeof cap, number>>>;
  /** Names of capabilities that the engine cannot do without. */
  readonly missing: readonly string[];
  /** Why it is not usable, one sentence with what would help. */
  readonly problem?: string;
}

export const KVM_DEVICE = '/dev/kvm';

const needed = [
  'USER_MEMORY',
  'EXT_CPUID',
  'MP_STATE',
  'VCPU_EVENTS',
  'DEBUGREGS',
  'XSAVE',
  'READONLY_MEM',
  'IMMEDIATE_EXIT',
] as const;
const modules = { kvm_intel: 'hardware', kvm_amd: 'hardware', kvm_pvm: 'software' } as const;

/** Looks, and changes nothing. Never throws. */
export function probeKvm(device = KVM_DEVICE, host: () => Libc = libc): KvmReport {
  try {
    const { fd, report } = openKvm(device, host());
    host().close(fd);
    return report;
  } catch (error) {
    const none = { usable: false, kind: 'none', capabilities: {}, missing: [] } as const;
    if (error instanceof EngineError && error.cause !== undefined) return error.cause as KvmReport;
    return { ...none, problem: error instanceof Error ? error.message : String(error) };
  }
}

/** The device, open. Throws {@link EngineError} `unavailable`, its cause a {@link KvmReport} if any. */
export function openKvm(device: string, c: Libc): { fd: number; report: KvmReport } {
  const fd = c.open(device, O_RDWR | O_CLOEXEC);
  if (fd < 0) throw new EngineError('unavailable', cannotOpen(device, errorName()));
  const [module, kind] = moduleInUse();
  const apiVersion = c.ioctlNumber(fd, ioctl.GET_API_VERSION, 0);
  const capabilities: Partial<Record<keyof typeof cap, number>> = {};
  for (const name of Object.keys(cap) as (keyof typeof cap)[]) {
    capabilities[name] = Math.max(0, c.ioctlNumber(fd, ioctl.CHECK_EXTENSION, cap[name]));
  }
  const missing = needed.filter((name) => !capabilities[name]).map((name) => `KVM_CAP_${name}`);
  const problem =
    apiVersion !== API_VERSION
      ? `${device} speaks API version ${apiVersion}, wanted ${API_VERSION}: this kernel is too old, or the file is not KVM's`
      : missing.length > 0
        ? `${device} lacks ${missing.join(', ')}: a newer kernel has what is missing`
        : undefined;
  const usable = problem === undefined;
  const report = { usable, kind, module, apiVersion, capabilities, missing } as const;
  if (problem === undefined) return { fd, report };
  c.close(fd);
  throw new EngineError('unavailable', problem, { cause: { ...report, problem } });
}

function moduleInUse(): [module: string, kind: 'hardware' | 'software'] {
  const found = Object.entries(modules).find(([name]) => existsSync(`/sys/module/${name}`));
  return found ?? ['kvm', 'hardware'];
}

function cannotOpen(device: string, error: string): string {
  switch (error) {
    case 'ENOENT':
      return `${device} is not there: load the kernel's module kvm_intel or kvm_amd, switch virtualization on in the firmware, or pass the device into the container`;
    case 'EACCES':
    case 'EPERM':
      return `${device} may not be opened by this user: join the group kvm, such as by "sudo usermod -aG kvm $USER" and a new login`;
    default:
      return `${device} cannot be opened: ${error}`;
  }
}
