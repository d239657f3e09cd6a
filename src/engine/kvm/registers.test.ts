import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import * as r from './registers.js';

type Fact = readonly [expression: string, value: number];

/** Every field of a table by its C name, seen from the start of `struct kvm_<name>`. */
function fields(name: string, table: object, prefix = ''): Fact[] {
  return Object.entries(table).flatMap(([field, at]): Fact[] => {
    if (typeof at === 'object') return fields(name, at, `${prefix}${field}.`);
    if (field === field.toUpperCase()) return [];
    return [[`offsetof(struct kvm_${name}, ${prefix}${field})`, at as number]];
  });
}

const constants = (prefix: string, table: object): Fact[] =>
  Object.entries(table)
    .filter(([name]) => name === name.toUpperCase())
    .map(([name, value]) => [`${prefix}${name}`, value]);

const generalRegisters = 'rax rcx rdx rbx rsp rbp rsi rdi r8'.split(' ');
const segments = 'es cs ss ds fs gs ldt tr'.split(' ');
const { io, debug_dr6, hw_hardware_exit_reason, emulation_failure, system_event_type, ...run } =
  r.run;
const { msi, ...routing } = r.routing;
const { channelBytes, flags, ...pitChannel } = r.pit;

const facts: Fact[] = [
  ...Object.entries(r.sizeOf).map(([name, size]): Fact => [`sizeof(struct kvm_${name})`, size]),
  ...constants('KVM_', r.ioctl),
  ...constants('KVM_CAP_', r.cap),
  ...constants('KVM_EXIT_', r.exitReason),
  ...constants('KVM_VCPUEVENT_VALID_', r.eventsValid),
  ...constants('KVM_X86_SHADOW_INT_', r.shadowBit),
  ...constants('KVM_MP_STATE_', r.mpState),
  ...constants('KVM_MEM_', r.memoryFlag),
  ...constants('KVM_IRQCHIP_', r.irqchip),
  ['KVM_API_VERSION', r.API_VERSION],
  ['KVM_PIT_SPEAKER_DUMMY', r.pit.SPEAKER_DUMMY],
  ['KVM_PIT_FLAGS_SPEAKER_DATA_ON', r.pit.SPEAKER_DATA_ON],
  ['KVM_IRQ_ROUTING_IRQCHIP', r.routing.TYPE_IRQCHIP],
  ['KVM_IRQ_ROUTING_MSI', r.routing.TYPE_MSI],
  ['KVM_IRQFD_FLAG_DEASSIGN', r.irqfd.DEASSIGN],
  ['KVM_IOEVENTFD_FLAG_DATAMATCH', r.ioeventfd.DATAMATCH],
  ['KVM_IOEVENTFD_FLAG_PIO', r.ioeventfd.PIO],
  ['KVM_IOEVENTFD_FLAG_DEASSIGN', r.ioeventfd.DEASSIGN],
  ['KVM_CPUID_FLAG_SIGNIFCANT_INDEX', r.cpuidEntry.SIGNIFICANT_INDEX],
  ...fields('run', { ...run, io }),
  ['offsetof(struct kvm_run, debug.arch.dr6)', debug_dr6],
  ['offsetof(struct kvm_run, hw.hardware_exit_reason)', hw_hardware_exit_reason],
  ['offsetof(struct kvm_run, system_event.type)', system_event_type],
  ...fields('run', emulation_failure, 'emulation_failure.'),
  ...[...r.regs.gpr, r.regs.r8].map(
    (at, i): Fact => [`offsetof(struct kvm_regs, ${generalRegisters[i]})`, at],
  ),
  ...fields('regs', { rip: r.regs.rip, rflags: r.regs.rflags }),
  ...r.sregs.segments.map((at, i): Fact => [`offsetof(struct kvm_sregs, ${segments[i]})`, at]),
  ...fields('sregs', { ...r.sregs, segments: {} }),
  ...fields('segment', r.segment),
  ...fields('dtable', r.dtable),
  ...fields('vcpu_events', r.events),
  ...fields('debugregs', r.debugregs),
  ...fields('userspace_memory_region', r.memory),
  ...fields('dirty_log', r.dirtyLog),
  ...fields('irqchip', r.irqchip),
  ...fields('pic_state', r.pic),
  ...fields('ioapic_state', r.ioapic),
  ['sizeof(struct kvm_pit_channel_state)', channelBytes],
  ...fields('pit_channel_state', pitChannel),
  ['offsetof(struct kvm_pit_state2, flags)', flags],
  ['offsetof(struct kvm_irq_routing, nr)', routing.nr],
  ['offsetof(struct kvm_irq_routing_entry, gsi)', routing.gsi],
  ['offsetof(struct kvm_irq_routing_entry, type)', routing.type],
  ['offsetof(struct kvm_irq_routing_entry, u.irqchip.irqchip)', routing.irqchip],
  ['offsetof(struct kvm_irq_routing_entry, u.irqchip.pin)', routing.pin],
  ...fields('irq_routing_entry', msi, 'u.msi.'),
  ...fields('irq_level', r.irqLevel),
  ...fields('msi', r.msi),
  ...fields('irqfd', r.irqfd),
  ...fields('ioeventfd', r.ioeventfd),
  ...fields('coalesced_mmio_zone', r.coalescedZone),
  ['offsetof(struct kvm_coalesced_mmio_ring, first)', r.coalescedRing.first],
  ['offsetof(struct kvm_coalesced_mmio_ring, last)', r.coalescedRing.last],
  ['sizeof(struct kvm_coalesced_mmio_ring)', r.coalescedRing.entries],
  ...fields('coalesced_mmio', r.coalesced),
  ...fields('cpuid_entry2', r.cpuidEntry),
  ...fields('msr_entry', r.msrEntry),
  ...fields('device_attr', r.deviceAttr),
  ...constants('KVM_', r.deviceAttr),
  ['sizeof(struct epoll_event)', r.EPOLL_EVENT_BYTES],
  ['offsetof(struct epoll_event, data)', r.epollEvent.data],
  ['(unsigned)(EPOLLIN)', r.epollEvent.IN],
  ['(unsigned)(EPOLLET)', r.epollEvent.EDGE],
  ['EPOLL_CTL_ADD', r.epollEvent.ADD],
  ['offsetof(struct kvm_xcrs, nr_xcrs)', r.xcrs.nr_xcrs],
  ['offsetof(struct kvm_xcrs, xcrs[0].xcr)', r.xcrs.xcr],
  ['offsetof(struct kvm_xcrs, xcrs[0].value)', r.xcrs.value],
];

const headers =
  '#include <stddef.h>\n#include <linux/kvm.h>\n#include <stdio.h>\n#include <sys/epoll.h>\n';
const hasHeaders =
  process.platform === 'linux' &&
  process.arch === 'x64' &&
  spawnSync('gcc', ['-E', '-xc', '-', '-o', '/dev/null'], { input: headers }).status === 0;

test('requests, sizes and offsets are those of linux/kvm.h', {
  skip: hasHeaders ? false : 'no gcc, or no linux/kvm.h of x86-64',
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-kvm-'));
  try {
    const program = join(folder, 'facts');
    const prints = facts.map(([what]) => `printf("%llu\\n", (unsigned long long)(${what}));`);
    const source = `${headers}int main(void) {\n${prints.join('\n')}\n}\n`;
    execFileSync('gcc', ['-xc', '-', '-o', program], { input: source });
    const found = execFileSync(program, { encoding: 'utf8' }).trim().split('\n').map(Number);
    const wrong = facts
      .map(([what, value], i) => ({ what, ours: value, theirs: found[i] }))
      .filter(({ ours, theirs }) => ours !== theirs);
    assert.deepEqual(wrong, []);
    assert.ok(facts.length > 200);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
