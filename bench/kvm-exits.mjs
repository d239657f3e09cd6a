// The guest of kvm-exits.c in Chassis: for each line on standard input runs so many turns of its loop
// and prints the mean nanoseconds of one.
// usage: node bench/kvm-exits.mjs PER_ROUND [ENGINE]
import { createInterface } from 'node:readline';
import { HostClock } from '#src/backend/node/host-clock.js';
import { openEngine } from '#src/cli/engines.js';
import { PcInterrupts } from '#src/machine/interrupts.js';
import { Timers } from '#src/machine/timers.js';

const perRound = Number(process.argv[2]);
const memoryBytes = 0x1_0000;

const engine = await openEngine(process.argv[3] ?? 'kvm');
const clock = new HostClock();
const vm = engine.createVm({
  memoryBytes,
  vcpus: 1,
  clock,
  randomU32: () => 0,
  interrupts: (store) => new PcInterrupts({ vcpus: 1, clock, timers: new Timers(), store }),
  onAttention: () => {},
});
const { bytes, start } = vm.memory;
// again: out 0x80, al; jmp again
bytes.set([0xe6, 0x80, 0xeb, 0xfc], start);
vm.setMemorySlot({
  ...{ id: 0, gpa: 0, sizeBytes: memoryBytes },
  ...{ place: start, readonly: false, log: false },
});
const vcpu = vm.createVcpu(0);
const record = vcpu.getRecord();
record.registers.rip = 0n;
record.system.segments[1] = { ...record.system.segments[3], attributes: 0x9b };
vcpu.setRecord(record);

for await (const _ of createInterface({ input: process.stdin })) {
  const from = process.hrtime.bigint();
  for (let i = 0; i < perRound; ) {
    const exit = vcpu.run();
    if (exit.kind === 'io' && exit.port === 0x80) i++;
    else if (exit.kind !== 'intr') throw new Error(`an exit of kind ${exit.kind}, wanted io`);
  }
  console.log((Number(process.hrtime.bigint() - from) / perRound).toFixed(1));
}
vm.close();
