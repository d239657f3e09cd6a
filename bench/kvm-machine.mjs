// A whole machine, its vCPU on a thread of its own: prints a line for each round of
//   pause MS    from another thread's wish until a guest that never exits has stopped
//   resume MS   from there until the guest's next output is seen
//   exit US     a turn of a guest that does nothing but write to a device's port
// usage: node bench/kvm-machine.mjs ROUNDS [ENGINE]
import { Worker } from 'node:worker_threads';
import { noChar } from '#src/backend/char/char.js';
import { HostClock } from '#src/backend/node/host-clock.js';
import { hostSchedule } from '#src/backend/node/host-schedule.js';
import { silentLog } from '#src/base/log.js';
import { openEngine } from '#src/cli/engines.js';
import { createMachine } from '#src/machine/create-machine.js';

const rounds = Number(process.argv[2]);
const engine = await openEngine(process.argv[3] ?? 'kvm');

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A machine whose firmware is only its first instructions; `onWrite` gets what they write to 0x402. */
function machineOf(code, onWrite = () => {}) {
  const data = new Uint8Array(0x1_0000);
  data.set(code, 0xfff0);
  return createMachine(
    {
      ...{ machine: 'pc', cpus: 1, memoryBytes: 16 << 20, devices: [], trace: [] },
      firmware: { name: 'loop', data },
    },
    {
      ...{ engine, clock: new HostClock(), schedule: hostSchedule, randomU32: () => 0 },
      ...{ log: silentLog, serial: [noChar], debugcon: { ...noChar, write: onWrite } },
    },
  );
}

/** Waits, then says on its own thread what time it is: a wish that comes from outside. */
const asker = new Worker(
  `const { parentPort } = require('node:worker_threads');
   parentPort.on('message', (ms) =>
     setTimeout(() => parentPort.postMessage(process.hrtime.bigint()), ms));`,
  { eval: true },
);

// mov dx, 0x402; out dx, al; then jmp to itself, or back to the out
const looping = [0xba, 0x02, 0x04, 0xee, 0xeb, 0xfe];
const writing = [0xba, 0x02, 0x04, 0xee, 0xeb, 0xfd];

/** A machine whose guest has come to its first output: all threads have started. */
async function started(code) {
  const started = { writes: 0, onWrite: () => {} };
  const first = new Promise((resolve) => {
    started.onWrite = resolve;
  });
  started.machine = machineOf(code, () => {
    started.writes++;
    started.onWrite();
  });
  started.running = started.machine.run();
  await first;
  return started;
}

async function pauseMs() {
  const { machine, running } = await started(looping);
  const asked = new Promise((resolve) => asker.once('message', resolve));
  asker.postMessage(30);
  const from = await asked;
  machine.stop();
  await running;
  const took = Number(process.hrtime.bigint() - from) / 1e6;
  machine.close();
  return took;
}

async function resumeMs() {
  const guest = await started(writing);
  guest.machine.stop();
  await guest.running;
  const from = performance.now();
  const written = new Promise((resolve) => {
    guest.onWrite = () => resolve(performance.now() - from);
  });
  const running = guest.machine.run();
  const took = await written;
  guest.machine.stop();
  await running;
  guest.machine.close();
  return took;
}

async function exitUs() {
  const guest = await started(writing);
  const [from, before] = [performance.now(), guest.writes];
  await sleep(200);
  const took = ((performance.now() - from) * 1000) / (guest.writes - before);
  guest.machine.stop();
  await guest.running;
  guest.machine.close();
  return took;
}

for (let round = 0; round < rounds; round++) {
  console.log(`pause ${(await pauseMs()).toFixed(3)}`);
  console.log(`resume ${(await resumeMs()).toFixed(3)}`);
  console.log(`exit ${(await exitUs()).toFixed(3)}`);
}
await asker.terminate();
