// A device's work by eventfds: prints a line for each round of
//   doorbell US   from the guest's write until the device's code runs, by ioeventfd
//   irqfd US      from the device's write to an eventfd until the guest's handler runs
// The guest halts in between. Its times are by its TSC, which is read beside the host's clock.
// usage: node bench/kvm-doorbell.mjs ROUNDS
import { HostClock } from '#src/backend/node/host-clock.js';
import { openEngine } from '#src/cli/engines.js';
import { PcInterrupts } from '#src/machine/interrupts.js';
import { Timers } from '#src/machine/timers.js';

const rounds = Number(process.argv[2]);
const warmUp = 200;

const memoryBytes = 0x1_0000;
const [rungAt, handledAt, gdt, idt, code, handler] = [0x600, 0x610, 0x800, 0x1000, 0x2000, 0x2100];
const [vector, doorbell] = [0x40, 0x1000_0000];
const word = (value) => [value, value >>> 8, value >>> 16, value >>> 24].map((byte) => byte & 0xff);
/** rdtsc; mov [place], eax; mov [place + 4], edx */
const stamp = (place) => [0x0f, 0x31, 0xa3, ...word(place), 0x89, 0x15, ...word(place + 4)];
/** 32-bit code that rings, and waits for the interrupt. */
const program = [
  ...[0xc7, 0x05, ...word(0xfee0_00f0), ...word(0x1ff)], // mov dword [SVR], 0x1ff
  0xfa, // again: cli
  ...stamp(rungAt),
  ...[0xa3, ...word(doorbell)], // mov [doorbell], eax
  ...[0xfb, 0xf4], // sti; hlt
];
const again = code + 10;
const handlerCode = [
  ...stamp(handledAt),
  ...[0xc7, 0x05, ...word(0xfee0_00b0), ...word(0)], // mov dword [EOI], 0
  ...[0x83, 0xc4, 0x0c], // add esp, 12: KVM of the software kind does not emulate IRET here
];
handlerCode.push(0xe9, ...word(again - (handler + handlerCode.length + 5))); // jmp again

const engine = await openEngine('kvm');
const clock = new HostClock();
const vm = engine.createVm({
  ...{ memoryBytes, vcpus: 1, clock, randomU32: () => 0, ownChips: true },
  interrupts: (store) => new PcInterrupts({ vcpus: 1, clock, timers: new Timers(), store }),
  onAttention: () => {},
});
const { bytes, start } = vm.memory;
const ram = new DataView(bytes.buffer, bytes.byteOffset + start, memoryBytes);
vm.setMemorySlot({
  ...{ id: 0, gpa: 0, sizeBytes: memoryBytes },
  ...{ place: start, readonly: false, log: false },
});
bytes.set(program, start + code);
bytes.set(handlerCode, start + handler);
ram.setBigUint64(gdt + 8, 0x00cf_9b00_0000_ffffn, true);
ram.setBigUint64(gdt + 16, 0x00cf_9300_0000_ffffn, true);
ram.setBigUint64(idt + 8 * vector, (0x8e00n << 32n) | (8n << 16n) | BigInt(handler), true);

const vcpu = vm.createVcpu(0);
const record = vcpu.getRecord();
const flat = { unusable: false, limit: 0xffff_ffff, base: 0n };
const data = { ...flat, selector: 16, attributes: 0xc093 };
record.registers.rip = BigInt(code);
record.registers.gpr[4] = 0x8000n;
record.system.segments.splice(0, 6, data, { ...flat, selector: 8, attributes: 0xc09b });
record.system.segments.splice(2, 0, data, data, data, data);
record.system.gdtr = { base: BigInt(gdt), limit: 0x17 };
record.system.idtr = { base: BigInt(idt), limit: 0x7ff };
record.system.cr0 |= 1n;
vcpu.setRecord(record);

/** The host's time in ns at which the guest's TSC was 0, as the least delayed of many readings says. */
function tscOrigin() {
  let best = { width: Number.POSITIVE_INFINITY, origin: 0 };
  for (let i = 0; i < 1000; i++) {
    const before = process.hrtime.bigint();
    const tsc = vcpu.readTsc();
    const after = process.hrtime.bigint();
    const width = Number(after - before);
    if (width < best.width) best = { width, origin: Number(before) + width / 2 - ns(tsc) };
  }
  return best.origin;
}
const ns = (tsc) => (Number(tsc) * 1e6) / engine.tscKhz;
const origin = tscOrigin();
const guestNs = (place) => origin + ns(ram.getBigUint64(place, true));

const irq = vm.interruptFd(0xfee0_0000, vector);
let sentNs = 0;
let round = -warmUp;
const done = new Promise((resolve) => {
  vm.doorbell({ space: 'mmio', address: doorbell, size: 4 }, () => {
    const nowNs = Number(process.hrtime.bigint());
    if (round > 0) {
      console.log(`doorbell ${((nowNs - guestNs(rungAt)) / 1000).toFixed(1)}`);
      console.log(`irqfd ${((guestNs(handledAt) - sentNs) / 1000).toFixed(1)}`);
    }
    if (round++ === rounds) return resolve();
    sentNs = Number(process.hrtime.bigint());
    engine.libc.eventfdWrite(irq.fd, 1);
  });
});
vcpu.thread.go();
const alive = setInterval(() => {
  const exit = vcpu.thread.poll();
  if (exit !== undefined)
    throw new Error(`an exit of kind ${exit.kind}, wanted none: ${exit.message}`);
}, 1000);
await done;
clearInterval(alive);
vcpu.requestPause();
while (vcpu.thread.poll() === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
irq.close();
vm.close();
