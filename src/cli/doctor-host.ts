import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { cpus, freemem, totalmem, userInfo } from 'node:os';
import { loadSoftCode } from '../backend/node/soft-code.js';
import type { KvmReport } from '../engine/kvm/probe.js';
import { tryKvm } from './engines.js';
import { packageManifest } from './version.js';

/** A device file, as `ls -l` shows it. */
export interface DeviceFacts {
  readonly path: string;
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
  /** This user may read and write it. */
  readonly allowed: boolean;
}

/** What was found on this host; nothing of it is judged yet. */
export interface HostFacts {
  readonly node: { readonly version: string; readonly wanted: string };
  readonly platform: string;
  readonly arch: string;
  readonly cpuModel: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly freeBytes: number;
  readonly user: string;
  readonly container: boolean;
  /** The CPU's own support for virtual machines, by the flag's name in /proc/cpuinfo. */
  readonly virtualization: 'vmx' | 'svm' | undefined;
  readonly device: DeviceFacts | undefined;
  /** When anonymous memory gets huge pages; undefined: the kernel has none. */
  readonly transparentHugePages: 'always' | 'madvise' | 'never' | undefined;
  /** Set aside for those who ask for them by name. */
  readonly reservedHugePages: number;
  readonly kvm: KvmReport;
  /** Why the soft engine does not work. */
  readonly softProblem: string | undefined;
}

/** Looks at this host, and changes nothing. Never throws. */
export async function hostFacts(kvmDevice = '/dev/kvm'): Promise<HostFacts> {
  const cpuInfo = text('/proc/cpuinfo');
  const cores = cpus();
  return {
    node: { version: process.versions.node, wanted: packageManifest().engines.node },
    platform: process.platform,
    arch: process.arch,
    cpuModel: cores[0]?.model ?? 'of an unknown model',
    cores: cores.length,
    memoryBytes: totalmem(),
    freeBytes: freemem(),
    user: userName(),
    container: existsSync('/.dockerenv') || existsSync('/run/.containerenv'),
    virtualization: /\b(vmx|svm)\b/.exec(cpuInfo)?.[1] as 'vmx' | 'svm' | undefined,
    device: device(kvmDevice),
    transparentHugePages: /\[(always|madvise|never)\]/.exec(
      text('/sys/kernel/mm/transparent_hugepage/enabled'),
    )?.[1] as HostFacts['transparentHugePages'],
    reservedHugePages: Number(/HugePages_Total:\s+(\d+)/.exec(text('/proc/meminfo'))?.[1] ?? 0),
    kvm: (await tryKvm(kvmDevice)).report,
    softProblem: await loadSoftCode().then(
      () => undefined,
      (error: Error) => error.message,
    ),
  };
}

function device(path: string): DeviceFacts | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  let allowed = true;
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch {
    allowed = false;
  }
  const owner = nameOf('/etc/passwd', stat.uid);
  return { path, mode: stat.mode & 0o777, owner, group: nameOf('/etc/group', stat.gid), allowed };
}

/** The name of a user or group, from the file that lists them as `name:x:id:...`. */
function nameOf(list: string, id: number): string {
  const line = text(list)
    .split('\n')
    .find((entry) => entry.split(':')[2] === `${id}`);
  return line?.split(':')[0] ?? `${id}`;
}

/** A file's text, or nothing where there is no such file. */
function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** A user id may have no name, as in containers. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `${process.getuid?.() ?? 'unknown'}`;
  }
}
