import { noChar } from '../backend/char/char.js';
import { assert } from '../base/assert.js';
import type { Exit, Vcpu, Vm } from '../engine/engine.js';
import { type RamLayout, ramLayout } from '../firmware/e820.js';
import { BoardMemory } from './board-memory.js';
import { PcBoard } from './board-pc.js';
import type { Boot } from './boot.js';
import type { MachineConfig } from './config.js';
import { cpuReport } from './crash-report.js';
import { type Inspection, inspectBoard } from './inspect.js';
import { PcInterrupts } from './interrupts.js';
import type { HostServices, Machine, Outcome } from './machine.js';
import { MachineClock } from './machine-clock.js';
import { RunLoop } from './run-loop.js';
import { type PartsOfMachine, saveMachine } from './snapshot-parts.js';
import { Timers } from './timers.js';
import { Tracing } from './tracing.js';

/** A machine of type `pc`: parts put together, and what happens to the whole. */
export class PcMachine implements Machine, PartsOfMachine {
  readonly clock: MachineClock;
  readonly board: PcBoard;
  readonly vcpu: Vcpu;
  readonly vm: Vm;
  readonly interrupts: PcInterrupts;
  private readonly loop: RunLoop;
  private readonly trace: Tracing;
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
      virtio: { disks: host.disks ?? [], randomU32 },
      onReset: (who) => this.ask({ kind: 'reset', who }),
      onPowerOff: () => this.ask({ kind: 'end', outcome: { kind: 'powered-off' } }),
      onDebugExit: (status) => this.ask({ kind: 'end', outcome: { kind: 'debug-exit', status } }),
    });
    for (const [key, content] of boot.files) this.board.fwCfg.add(key, content);
    this.vcpu = this.vm.createVcpu(0);
    this.vcpu.attachBus?.(this.trace.bus(this.board));
    this.loop = new RunLoop(this.vcpu, this.clock, timers, schedule, {
      between: () => this.between(),
      exit: (exit) => this.exit(exit),
    });
  }

  run(): Promise<Outcome> {
    assert(!this.loop.running, 'the machine is running already');
    return this.loop.run();
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
    return saveMachine(this);
  }

  inspect(): Inspection {
    return inspectBoard(this.config, this.host.engine.name, this.board);
  }

  close(): void {
    for (const char of this.host.serial) char.close();
    this.host.debugcon?.close();
    this.vm.close();
  }

  /** Power-on: to be called once, before the first run, unless a snapshot is restored. */
  powerOn(): void {
    this.boot.start(this.board, this.vcpu, 'power-on');
  }

  private ask(wish: NonNullable<typeof this.asked>): void {
    // The first counts: a guest that powers off and then resets has powered off.
    this.asked ??= wish;
    this.interrupt();
  }

  private interrupt(): void {
    this.vcpu.requestPause();
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
    this.vcpu.reset('power-on');
    this.boot.start(this.board, this.vcpu, 'reset');
  }

  private exit(exit: Exit): Outcome | undefined {
    this.trace.say('exits', exit.kind);
    switch (exit.kind) {
      case 'shutdown':
        return {
          kind: 'crashed',
          reason: 'triple fault',
          report: cpuReport(this.vcpu.getRecord(), this.board.memory.physical),
        };
      case 'internal-error':
        throw new Error(
          `${exit.message}\n${cpuReport(this.vcpu.getRecord(), this.board.memory.physical)}`,
          { cause: exit.cause },
        );
      case 'io':
        this.answerIo(exit);
        return undefined;
      case 'mmio':
        if (exit.direction === 'read') this.board.mmio.readBytes(exit.gpa, exit.data);
        else this.board.mmio.writeBytes(exit.gpa, exit.data);
        return undefined;
      case 'hlt':
      case 'intr':
      case 'debug':
        return undefined;
    }
  }

  /** For engines without an inline bus. */
  private answerIo({ port, size, direction, count, data }: Extract<Exit, { kind: 'io' }>): void {
    for (let i = 0; i < count; i++) {
      const piece = data.subarray(i * size, (i + 1) * size);
      if (direction === 'in') this.board.ports.readBytes(port, piece);
      else this.board.ports.writeBytes(port, piece);
    }
  }
}
