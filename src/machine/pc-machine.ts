import { noChar } from '../backend/char/char.js';
import { assert } from '../base/assert.js';
import { cpuidOf } from '../engine/cpu-models.js';
import { EngineError, type Exit, type InlineBus, type Vcpu, type Vm } from '../engine/engine.js';
import { type RamLayout, ramLayout } from '../firmware/e820.js';
import { answerIo, answerMmio } from './answer-exit.js';
import { BoardMemory } from './board-memory.js';
import { PcBoard } from './board-pc.js';
import type { Boot } from './boot.js';
import type { MachineConfig } from './config.js';
import { cpuReport } from './crash-report.js';
import { type Inspection, inspectBoard } from './inspect.js';
import { PcInterrupts } from './interrupts.js';
import type { HostServices, Machine, Outcome } from './machine.js';
import { MachineClock } from './machine-clock.js';
import { type Loop, RunLoop } from './run-loop.js';
import { type PartsOfMachine, saveMachine } from './snapshot-parts.js';
import { type ThreadedVcpu, ThreadLoop } from './thread-loop.js';
import { Timers } from './timers.js';
import { Tracing } from './tracing.js';

/** A machine of type `pc`: parts put together, and what happens to the whole. */
export class PcMachine implements Machine, PartsOfMachine {
  readonly clock: MachineClock;
  readonly board: PcBoard;
  readonly vcpus: readonly Vcpu[];
  readonly vm: Vm;
  readonly interrupts: PcInterrupts;
  private readonly loop: Loop;
  private readonly trace: Tracing;
  private readonly bus: InlineBus;
  /** What the guest or the user asked for, to be done between two slices. */
  private asked: { kind: 'end'; outcome: Outcome } | { kind: 'reset'; who: string } | undefined;
  private stopAsked = false;

  constructor(
    readonly config: MachineConfig,
    private readonly host: HostServices,
    private readonly boot: Boot,
  ) {
    const { engine, schedule, randomU32, log } = host;
    const layout: RamLayout = ramLayout(config.memoryBytes);
    const timers = new Timers();
    this.clock = new MachineClock(host.clock);
    this.trace = new Tracing(config.trace, this.clock, host.trace ?? (() => {}));
    let interrupts: PcInterrupts | undefined;
    this.vm = engine.createVm({
      memoryBytes: BoardMemory.sizeBytes(layout, config.firmware),
      vcpus: config.cpus,
      clock: this.clock,
      randomU32,
      cpuid: config.cpuid ?? cpuidFor(config, host),
      ownChips: true,
      interrupts: (store) => {
        interrupts = new PcInterrupts({ vcpus: config.cpus, clock: this.clock, timers, store });
        return interrupts;
      },
      onAttention: () => this.loop?.wake(),
    });
    assert(interrupts !== undefined, 'this machine needs an engine that takes its interrupts');
    this.interrupts = interrupts;
    interrupts.onDelivery = (vcpu, vector, from) =>
      this.trace.say('ints', `vcpu ${vcpu} takes 0x${vector.toString(16)} from the ${from}`);
    this.board = new PcBoard(config, layout, {
      vm: this.vm,
      interrupts,
      clock: this.clock,
      timers,
      log,
      serial: host.serial,
      debugcon: host.debugcon ?? noChar,
      later: (callback) => schedule.soon(callback),
      release: host.releaseMemory,
      virtio: {
        disks: host.disks ?? [],
        nets: host.nets ?? [],
        ports: host.ports ?? [],
        randomU32,
      },
      onReset: (who) => this.ask({ kind: 'reset', who }),
      onPowerOff: () => this.ask({ kind: 'end', outcome: { kind: 'powered-off' } }),
      onDebugExit: (status) => this.ask({ kind: 'end', outcome: { kind: 'debug-exit', status } }),
    });
    for (const [key, content] of boot.files) this.board.fwCfg.add(key, content);
    this.bus = this.trace.bus(this.board);
    this.vcpus = Array.from({ length: config.cpus }, (_, index) => this.vm.createVcpu(index));
    const hooks = {
      wanted: () => this.asked !== undefined || this.stopAsked,
      between: () => this.between(),
      exit: (exit: Exit, vcpu: Vcpu) => this.exit(exit, vcpu),
    };
    const first = this.vcpus[0]!;
    first.attachBus?.(this.bus);
    this.loop = haveThreads(this.vcpus)
      ? new ThreadLoop(this.vcpus, this.vm.chips, this.clock, timers, schedule, hooks)
      : new RunLoop(first, this.clock, timers, schedule, hooks);
  }

  run(): Promise<Outcome> {
    assert(!this.loop.running, 'the machine is running already');
    return this.loop.run();
  }

  get virtio() {
    return this.board.virtio;
  }

  stop(): void {
    this.stopAsked = true;
    this.interrupt();
  }

  powerButton(): void {
    this.board.pm.press();
  }

  reset(): void {
    this.ask({ kind: 'reset', who: 'the reset button' });
  }

  save(): Uint8Array {
    assert(!this.loop.running, 'a machine is saved while it is stopped');
    this.board.takeChips();
    return saveMachine(this);
  }

  inspect(): Inspection {
    return inspectBoard(this.config, this.host.engine.name, this.board);
  }

  close(): void {
    for (const char of [...this.host.serial, ...(this.host.ports ?? [])]) char.close();
    this.host.debugcon?.close();
    this.vm.close();
  }

  /** Power-on: to be called once, before the first run, unless a snapshot is restored. */
  powerOn(): void {
    this.board.giveChips();
    this.boot.start(this.board, this.vcpus[0]!, 'power-on');
  }

  private ask(wish: NonNullable<typeof this.asked>): void {
    // The first counts: a guest that powers off and then resets has powered off.
    this.asked ??= wish;
    this.interrupt();
  }

  private interrupt(): void {
    for (const vcpu of this.vcpus) vcpu.requestPause();
    this.loop.wake();
  }

  private between(): Outcome | undefined {
    const { asked } = this;
    if (asked !== undefined) {
      this.asked = undefined;
      if (asked.kind === 'end') return asked.outcome;
      this.trace.say('resets', `by ${asked.who}`);
      if (this.config.reboot === 'end') return { kind: 'reset' };
      this.restart();
    }
    if (!this.stopAsked) return undefined;
    this.stopAsked = false;
    return { kind: 'stopped' };
  }

  private restart(): void {
    this.board.reset();
    for (const vcpu of this.vcpus) vcpu.reset('power-on');
    this.board.giveChips();
    this.boot.start(this.board, this.vcpus[0]!, 'reset');
  }

  private exit(exit: Exit, vcpu: Vcpu): Outcome | undefined {
    this.trace.say('exits', exit.kind);
    switch (exit.kind) {
      case 'shutdown':
        return {
          kind: 'crashed',
          reason: 'triple fault',
          report: cpuReport(vcpu.getRecord(), this.board.memory.physical),
        };
      case 'internal-error':
        throw this.failure(exit, vcpu);
      case 'io':
        answerIo(this.bus, exit);
        return undefined;
      case 'mmio':
        answerMmio(this.bus, exit);
        return undefined;
      case 'hlt':
      case 'intr':
      case 'debug':
        return undefined;
    }
  }
  private failure(
    { message, cause }: Extract<Exit, { kind: 'internal-error' }>,
    vcpu: Vcpu,
  ): Error {
    const text = `${message}\n${cpuReport(vcpu.getRecord(), this.board.memory.physical)}`;
    // Without a cause of ours it is the host that failed.
    return cause === undefined ? new EngineError('failed', text) : new Error(text, { cause });
  }
}

function haveThreads(vcpus: readonly Vcpu[]): vcpus is readonly ThreadedVcpu[] {
  return vcpus.every(({ thread }) => thread !== undefined);
}

/** The model that the configuration names; a VM that is to move has what both engines do. */
function cpuidFor({ cpu, cpus }: MachineConfig, { engine, peerCpuid }: HostServices) {
  const offered = engine.cpuid(cpus);
  if (engine.name === 'soft' && cpu === undefined) return offered;
  return cpuidOf(cpu ?? 'common', cpus, offered, peerCpuid?.(cpus));
}
