import assert from 'node:assert/strict';
import test from 'node:test';
import type { KvmReport } from '../engine/kvm/probe.js';
import type { HostFacts } from './doctor-host.js';
import { diagnose } from './doctor-report.js';

const device = { path: '/dev/kvm', mode: 0o660, owner: 'root', group: 'kvm', allowed: true };

const hardware: KvmReport = {
  usable: true,
  kind: 'hardware',
  module: 'kvm_intel',
  apiVersion: 12,
  capabilities: { IRQCHIP: 1, USER_MEMORY: 1 },
  missing: [],
};

const none: KvmReport = {
  usable: false,
  kind: 'none',
  capabilities: {},
  missing: [],
  problem: 'there is none',
};

/** A host where all is well, but for what is given. */
const host = (more: Partial<HostFacts> = {}): HostFacts => ({
  node: { version: '20.20.2', wanted: '>=20.20' },
  platform: 'linux',
  arch: 'x64',
  cpuModel: 'a CPU',
  cores: 4,
  memoryBytes: 8 * 2 ** 30,
  freeBytes: 4 * 2 ** 30,
  user: 'ada',
  container: false,
  virtualization: 'vmx',
  device,
  transparentHugePages: 'madvise',
  reservedHugePages: 0,
  kvm: hardware,
  softProblem: undefined,
  ...more,
});

test('a host where all is well has nothing to mend, and auto takes kvm', () => {
  const { engines, auto, findings } = diagnose(host());
  assert.deepEqual(engines.kvm, { works: true, why: 'works' });
  assert.equal(auto.engine, 'kvm');
  const wrong = findings.filter(({ status, fix }) => status !== 'ok' || fix !== undefined);
  assert.deepEqual(wrong, []);
});

/** What is wrong, the finding that says so, what it is called, and what it says to do. */
const cases: readonly [string, Partial<HostFacts>, string, 'note' | 'missing', RegExp, RegExp][] = [
  [
    'an old Node',
    { node: { version: '18.20.1', wanted: '>=20.20' } },
    'Node',
    'missing',
    /18\.20\.1, wanted >=20\.20/,
    /install Node 20/,
  ],
  [
    'a Node that is a little too old',
    { node: { version: '20.19.9', wanted: '>=20.20' } },
    'Node',
    'missing',
    /20\.19\.9/,
    /Node 20/,
  ],
  ['a single core', { cores: 1 }, 'cores', 'note', /^1 x a CPU$/, /two cores/],
  [
    'code that is not built',
    { softProblem: 'no interp.wasm' },
    'soft engine',
    'missing',
    /interp\.wasm/,
    /npm run build/,
  ],
  [
    'no device on a CPU of Intel’s',
    { device: undefined, kvm: none },
    'KVM device',
    'missing',
    /no \/dev\/kvm/,
    /^sudo modprobe kvm_intel$/,
  ],
  [
    'no device on a CPU of AMD’s',
    { device: undefined, kvm: none, virtualization: 'svm' },
    'KVM device',
    'missing',
    /no \/dev\/kvm/,
    /^sudo modprobe kvm_amd$/,
  ],
  [
    'no device and no virtualization',
    { device: undefined, kvm: none, virtualization: undefined },
    'KVM device',
    'missing',
    /no \/dev\/kvm/,
    /firmware.*nested/,
  ],
  [
    'no device in a container',
    { device: undefined, kvm: none, container: true },
    'KVM device',
    'missing',
    /no \/dev\/kvm/,
    /--device \/dev\/kvm/,
  ],
  [
    'a user outside of the group',
    { device: { ...device, allowed: false }, kvm: none },
    'KVM device',
    'missing',
    /crw-rw---- root:kvm: ada may not open it/,
    /^sudo usermod -aG kvm ada, /,
  ],
  [
    'a device of root’s alone',
    { device: { ...device, mode: 0o600, group: 'root', allowed: false }, kvm: none },
    'KVM device',
    'missing',
    /crw------- root:root: ada may not open it/,
    /chgrp kvm \/dev\/kvm.*chmod 660/,
  ],
  [
    'a device that cannot be called',
    { kvm: none },
    'KVM device',
    'missing',
    /there is none/,
    /npm ci.*glibc/,
  ],
  [
    'a KVM that makes no VM',
    { kvm: { ...hardware, usable: false, problem: 'refused a virtual machine: EBUSY' } },
    'KVM device',
    'missing',
    /EBUSY/,
    /other hypervisors/,
  ],
  [
    'KVM of the software kind',
    { kvm: { ...hardware, kind: 'software', module: 'kvm_pvm' } },
    'KVM kind',
    'note',
    /software \(kvm_pvm\)/,
    /VT-x or AMD-V/,
  ],
  [
    'an old API',
    { kvm: { ...hardware, usable: false, apiVersion: 11, problem: 'too old' } },
    'KVM API',
    'missing',
    /version 11/,
    /wanted version 12/,
  ],
  [
    'a capability that is needed and missing',
    { kvm: { ...hardware, usable: false, missing: ['KVM_CAP_XSAVE'], problem: 'no XSAVE' } },
    'capabilities',
    'missing',
    /not KVM_CAP_XSAVE/,
    /newer kernel/,
  ],
  [
    'huge pages switched off',
    { transparentHugePages: 'never' },
    'huge pages',
    'note',
    /transparent: never/,
    /echo madvise/,
  ],
  ['another system', { platform: 'darwin' }, 'KVM device', 'missing', /darwin on x64/, /Linux/],
  ['another CPU', { arch: 'arm64' }, 'KVM device', 'missing', /linux on arm64/, /x86-64/],
];

for (const [what, more, name, status, found, fix] of cases) {
  test(`${what} is found, and how to mend it is said`, () => {
    const finding = diagnose(host(more)).findings.find((one) => one.name === name);
    assert.equal(finding?.status, status);
    assert.match(finding.found, found);
    assert.match(finding.fix!, fix);
  });
}

test('auto takes soft where there is no KVM, and where it is of the software kind', () => {
  const without = diagnose(host({ kvm: none }));
  assert.deepEqual(without.engines.kvm, { works: false, why: 'there is none' });
  assert.equal(without.auto.engine, 'soft');
  assert.match(without.auto.why, /there is none/);
  const software = diagnose(host({ kvm: { ...hardware, kind: 'software', module: 'kvm_pvm' } }));
  assert.equal(software.engines.kvm.works, true);
  assert.equal(software.auto.engine, 'soft');
  assert.match(software.auto.why, /software kind \(kvm_pvm\).*stock Linux is too slow/);
});

test('capabilities that are done without are named', () => {
  const kvm = { ...hardware, capabilities: { IRQCHIP: 1, TSC_CONTROL: 0 } };
  const finding = diagnose(host({ kvm })).findings.find(({ name }) => name === 'capabilities');
  assert.equal(finding?.status, 'ok');
  assert.match(finding.found, /1 of the 2 .* does without TSC_CONTROL/);
});
