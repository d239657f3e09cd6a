import type { HostFacts } from './doctor-host.js';
import { type AutoChoice, chooseAuto } from './engines.js';

/** One thing looked at. `note`: it works, but less well than it could. */
export interface Finding {
  readonly name: string;
  readonly status: 'ok' | 'note' | 'missing';
  readonly found: string;
  /** What to do about it. */
  readonly fix?: string;
}

export interface DoctorReport {
  readonly engines: Readonly<Record<'soft' | 'kvm', { works: boolean; why: string }>>;
  readonly auto: AutoChoice;
  readonly findings: readonly Finding[];
  /** By the kernel's name, what CHECK_EXTENSION answered; 0: not there. */
  readonly capabilities: Readonly<Record<string, number>>;
}

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** What a host's facts mean for Chassis, and what would mend what is missing. */
export function diagnose(host: HostFacts): DoctorReport {
  const { kvm, softProblem } = host;
  const works = kvm.kind === 'software' ? 'works, of the software kind' : 'works';
  return {
    engines: {
      soft: { works: softProblem === undefined, why: softProblem ?? 'works' },
      kvm: { works: kvm.usable, why: kvm.problem ?? works },
    },
    auto: chooseAuto(kvm),
    findings: [
      soft(host),
      node(host),
      cores(host),
      {
        name: 'memory',
        status: 'ok',
        found: `${gib(host.memoryBytes)}, ${gib(host.freeBytes)} free`,
      },
      ...(host.platform === 'linux' && host.arch === 'x64' ? kvmFindings(host) : [noKvm(host)]),
    ],
    capabilities: kvm.capabilities,
  };
}

function soft({ softProblem }: HostFacts): Finding {
  const name = 'soft engine';
  if (softProblem === undefined) return { name, status: 'ok', found: 'its code is built' };
  return { name, status: 'missing', found: softProblem, fix: 'npm ci && npm run build' };
}

function node({ node: { version, wanted } }: HostFacts): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [least = 0, leastMinor = 0] = wanted
    .replace(/[^\d.]/g, '')
    .split('.')
    .map(Number);
  if (major > least || (major === least && minor >= leastMinor)) {
    return { name: 'Node', status: 'ok', found: version };
  }
  const found = `${version}, wanted ${wanted}`;
  return { name: 'Node', status: 'missing', found, fix: `install Node ${least} or newer` };
}

function cores({ cores: count, cpuModel }: HostFacts): Finding {
  const found = `${count} x ${cpuModel}`;
  if (count > 1) return { name: 'cores', status: 'ok', found };
  const fix = 'give this machine two cores: on one, a guest and its devices take turns';
  return { name: 'cores', status: 'note', found, fix };
}

function noKvm({ platform, arch }: HostFacts): Finding {
  const found = `this is ${platform} on ${arch}`;
  return {
    name: 'KVM device',
    status: 'missing',
    found,
    fix: 'KVM runs PCs on Linux on x86-64 only',
  };
}

function kvmFindings(host: HostFacts): Finding[] {
  const found = [kvmDevice(host)];
  if (host.kvm.apiVersion !== undefined)
    found.push(kvmKind(host), kvmApi(host), capabilities(host));
  return [...found, hugePages(host)];
}

function kvmDevice({ device, kvm, user, container, virtualization }: HostFacts): Finding {
  const name = 'KVM device';
  if (device === undefined) {
    const module = virtualization === 'svm' ? 'kvm_amd' : 'kvm_intel';
    const fix = container
      ? 'start the container with --device /dev/kvm'
      : virtualization !== undefined
        ? `sudo modprobe ${module}`
        : 'switch VT-x or AMD-V on in the firmware’s setup; if this is a virtual machine itself, nested virtualization in its hypervisor';
    return { name, status: 'missing', found: 'there is no /dev/kvm', fix };
  }
  const { path, mode, owner, group, allowed } = device;
  const found = `${path}, ${modeText(mode)} ${owner}:${group}`;
  if (!allowed) {
    const fix =
      (mode & 0o060) === 0o060 && group !== 'root'
        ? `sudo usermod -aG ${group} ${user}, and log in anew`
        : `sudo chgrp kvm ${path} && sudo chmod 660 ${path} && sudo usermod -aG kvm ${user}, and log in anew`;
    return { name, status: 'missing', found: `${found}: ${user} may not open it`, fix };
  }
  if (kvm.apiVersion === undefined) {
    const fix =
      'npm ci: it installs the package koffi, which calls the C library; that has to be glibc';
    return { name, status: 'missing', found: `${found}: ${kvm.problem}`, fix };
  }
  if (!kvm.usable && kvm.apiVersion === 12 && kvm.missing.length === 0) {
    const fix = 'end other hypervisors that hold the CPU’s virtualization; dmesg may say more';
    return { name, status: 'missing', found: `${found}: ${kvm.problem}`, fix };
  }
  return { name, status: 'ok', found: `${found}: ${user} may open it` };
}

/** `crw-rw----`. */
function modeText(mode: number): string {
  const bits = [...'rwxrwxrwx'].map((letter, i) => ((mode >> (8 - i)) & 1 ? letter : '-'));
  return `c${bits.join('')}`;
}

function kvmKind({ kvm: { kind, module } }: HostFacts): Finding {
  const name = 'KVM kind';
  if (kind !== 'software') return { name, status: 'ok', found: `hardware (${module})` };
  return {
    name,
    status: 'note',
    found: `software (${module}): code of 64-bit user programs runs natively, all other is emulated`,
    fix: 'a host with VT-x or AMD-V; if this is a virtual machine itself, nested virtualization in its hypervisor',
  };
}

function kvmApi({ kvm: { apiVersion } }: HostFacts): Finding {
  const found = `version ${apiVersion}`;
  if (apiVersion === 12) return { name: 'KVM API', status: 'ok', found };
  const fix = 'wanted version 12, which is that of every Linux since 2.6.22';
  return { name: 'KVM API', status: 'missing', found, fix };
}

function capabilities({ kvm }: HostFacts): Finding {
  const name = 'capabilities';
  const known = Object.entries(kvm.capabilities);
  const lacking = known.filter(([, value]) => value === 0).map(([cap]) => cap);
  const found = `${known.length - lacking.length} of the ${known.length} that Chassis knows`;
  if (kvm.missing.length > 0) {
    const fix = 'a newer kernel of the host';
    return { name, status: 'missing', found: `${found}, not ${kvm.missing.join(' ')}`, fix };
  }
  const without = lacking.length > 0 ? `; does without ${lacking.join(' ')}` : '';
  return { name, status: 'ok', found: `${found}, with all that it needs${without}` };
}

function hugePages({ transparentHugePages, reservedHugePages }: HostFacts): Finding {
  const name = 'huge pages';
  const found = `transparent: ${transparentHugePages ?? 'not in this kernel'}; reserved: ${reservedHugePages}`;
  if (transparentHugePages !== 'never' && transparentHugePages !== undefined) {
    return { name, status: 'ok', found };
  }
  const fix = 'echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled';
  return { name, status: 'note', found, fix };
}
