// A virtual machine from its parts: one vCPU, 64 KiB of memory, 15 bytes of 16-bit code that print a
// text through a port. docs/tutorial.md goes through it step by step. Which engine runs it is the argument:
//   node dist/examples/hello-vm.js auto|soft|kvm
import { HostClock } from '#src/backend/node/host-clock.js';
import { hostRandom } from '#src/backend/node/host-random.js';
import { parseWord } from '#src/cli/args.js';
import { openEngine } from '#src/cli/engines.js';
import { PcInterrupts } from '#src/machine/interrupts.js';
import { Timers } from '#src/machine/timers.js';

const MEMORY_BYTES = 0x1_0000;
const CONSOLE_PORT = 0xe9;

const code = Uint8Array.of(
  ...[0xbe, 0x20, 0x00], //       mov si, 0x20      where the text is
  ...[0xba, 0xe9, 0x00], //       mov dx, 0xe9      the port
  0xac, //                  next: lodsb             a byte of the text
  ...[0x84, 0xc0], //             test al, al
  ...[0x74, 0x03], //             jz done           the 0 at its end
  0xee, //                        out dx, al
  ...[0xeb, 0xf8], //             jmp next
  0xf4, //                  done: hlt
);
const text = new TextEncoder().encode('Hello from a virtual machine!\n\0');

// Step 1: an engine, and a VM of it with the interrupt controllers of a PC.
const choice = parseWord('engine', process.argv[2] ?? 'auto', ['auto', 'soft', 'kvm']);
const engine = await openEngine(choice);
const clock = new HostClock();
const vm = engine.createVm({
  memoryBytes: MEMORY_BYTES,
  vcpus: 1,
  clock,
  randomU32: hostRandom(),
  interrupts: (store) => new PcInterrupts({ vcpus: 1, clock, timers: new Timers(), store }),
  onAttention: () => {},
});

// Step 2: memory from guest-physical address 0 on, with the code and the text in it.
const { bytes, start } = vm.memory;
bytes.set(code, start);
bytes.set(text, start + 0x20);
const ram = { id: 0, gpa: 0, sizeBytes: MEMORY_BYTES, place: start, readonly: false, log: false };
vm.setMemorySlot(ram);

// Step 3: a vCPU that begins at address 0: real mode, as after power-on, CS with base 0.
const vcpu = vm.createVcpu(0);
const record = vcpu.getRecord();
record.registers.rip = 0n;
record.system.segments[1] = { ...record.system.segments[3]!, attributes: 0x9b };
vcpu.setRecord(record);

// Step 4: run until the guest halts, and print what it writes to the port.
for (let exit = vcpu.run(); exit.kind !== 'hlt'; exit = vcpu.run()) {
  if (exit.kind === 'io' && exit.direction === 'out' && exit.port === CONSOLE_PORT) {
    process.stdout.write(exit.data);
  } else if (exit.kind !== 'intr') throw new Error(`the guest came out with ${exit.kind}`);
}
vm.close();
