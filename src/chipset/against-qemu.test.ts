import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import readline from 'node:readline';
import test from 'node:test';
import { ManualClock } from '../base/clock.js';
import { IoBus } from '../device/bus.js';
import type { Device } from '../device/device.js';
import { RecordingLine } from '../device/irq.js';
import { ManualTimers } from '../device/timer.js';
import { I8042 } from './i8042/i8042.js';
import { Pic8259Pair } from './pic8259/pic8259.js';
import { Rtc146818 } from './rtc146818/rtc146818.js';
import { Uart16550 } from './uart16550/uart16550.js';

/**
 * The same random accesses on our chips and on QEMU's, by its qtest protocol and with no CPU
 * running. Where QEMU is known to differ from the data sheets, the accesses keep away from it; each
 * place says why. Set CHASSIS_FUZZ_SEED to repeat a run.
 */
const QEMU = 'qemu-system-x86_64';
const DATE = '2026-11-22T21:50:58';
const SEED = Number(process.env.CHASSIS_FUZZ_SEED ?? Date.now() % 0x7fff_ffff) | 1;
const STEPS = 4000;
const skip =
  spawnSync(QEMU, ['--version']).status === 0 ? false : `${QEMU} is not installed, so no oracle`;

class Qtest {
  private readonly child: ChildProcess;
  private readonly waiting: ((line: string) => void)[] = [];

  constructor() {
    const args = '-machine pc,accel=tcg -S -display none -nodefaults -serial null -monitor none';
    const rtc = `-rtc base=${DATE},clock=vm -qtest stdio -qtest-log none`;
    this.child = spawn(QEMU, `${args} ${rtc}`.split(' '), { stdio: ['pipe', 'pipe', 'ignore'] });
    readline.createInterface({ input: this.child.stdout! }).on('line', (line) => {
      if (!line.startsWith('IRQ')) this.waiting.shift()?.(line);
    });
    this.child.on('exit', () => {
      for (const one of this.waiting.splice(0)) one('gone');
    });
  }
  async command(text: string): Promise<string> {
    const answer = new Promise<string>((resolve) => this.waiting.push(resolve));
    this.child.stdin!.write(`${text}\n`);
    const line = await answer;
    assert.ok(line.startsWith('OK'), `qtest: ${text}: ${line}`);
    return line;
  }
  end(): void {
    this.child.kill();
  }
}

/** One chip here, the same one in QEMU. */
class Pair {
  readonly qemu = new Qtest();
  readonly bus = new IoBus('port');
  private readonly log: string[] = [];
  private x = SEED;

  constructor(device: Device<unknown>) {
    this.bus.attach(device);
  }
  below(limit: number): number {
    this.x ^= this.x << 13;
    this.x ^= this.x >>> 17;
    this.x ^= this.x << 5;
    return (this.x >>> 3) % limit;
  }
  pick<T>(...some: T[]): T {
    return some[this.below(some.length)]!;
  }
  async write(port: number, value: number): Promise<void> {
    this.note(`write ${port.toString(16)} ${value.toString(16)}`);
    await this.qemu.command(`outb ${port} ${value}`);
    this.bus.write(port, 1, value);
  }
  async read(port: number, mask = 0xff): Promise<number> {
    const theirs = Number((await this.qemu.command(`inb ${port}`)).split(' ')[1]);
    const ours = this.bus.read(port, 1);
    this.note(`read ${port.toString(16)} ${ours.toString(16)}`);
    assert.equal(ours & mask, theirs & mask, `CHASSIS_FUZZ_SEED=${SEED}\n${this.log.join('\n')}`);
    return ours;
  }
  note(what: string): void {
    this.log.push(what);
    if (this.log.length > 40) this.log.shift();
  }
}

function compare(name: string, make: () => Device<unknown>, run: (pair: Pair) => Promise<void>) {
  test(`${name}: answers as QEMU's does`, { skip, timeout: 120_000 }, async () => {
    const pair = new Pair(make());
    try {
      await run(pair);
    } finally {
      pair.qemu.end();
    }
  });
}

const clock = new ManualClock();
clock.wallBaseMs = Date.parse(`${DATE}Z`);
const timers = new ManualTimers();
const irq = new RecordingLine();

let pic: Pic8259Pair;
compare(
  'pic8259',
  () => {
    pic = new Pic8259Pair({ intr: irq });
    return pic;
  },
  async (pair) => {
    const line = async (input: number, level: number) => {
      if (input === 2) return;
      const device = `/machine/unattached/device[${input < 8 ? 6 : 7}]`;
      await pair.qemu.command(`set_irq_in ${device} unnamed-gpio-in ${input & 7} ${level}`);
      pair.note(`irq ${input} ${level}`);
      pic.irq(input).set(level === 1);
    };
    const initialise = async (icw4: number) => {
      // QEMU keeps a level it latched before ICW1 or a change of ELCR; ours follows the line.
      for (let input = 0; input < 16; input++) await line(input, 0);
      for (const [base, vector, cascade] of [
        [0x20, 0x30, 4],
        [0xa0, 0x38, 2],
      ] as const) {
        await pair.write(base, 0x11);
        for (const word of [vector, cascade, icw4]) await pair.write(base + 1, word);
      }
    };
    await initialise(0x01);
    for (let i = 0; i < STEPS; i++) {
      const base = pair.pick(0x20, 0xa0);
      const what = pair.below(200);
      if (what < 60) await line(pair.below(16), pair.below(2));
      else if (what < 100) {
        await pair.write(base, pair.pick(0x0a, 0x0b, 0x0c));
        await pair.read(base);
      } else if (what < 130) await pair.write(base, 0x20);
      else if (what < 145) await pair.write(base, (pair.below(8) << 5) | pair.below(8));
      else if (what < 170) await pair.write(base + 1, pair.below(256) & pair.below(256));
      else if (what < 190) await pair.read(base + 1);
      else if (what < 196) await initialise(pair.pick(0x01, 0x03, 0x11, 0x13));
      else {
        await initialise(0x01);
        await pair.write(0x4d0, pair.below(256));
        await pair.write(0x4d1, pair.below(256));
        await pair.read(0x4d0);
        await pair.read(0x4d1);
      }
    }
  },
);

let uart: Uart16550;
compare(
  'uart16550',
  () => {
    uart = new Uart16550({ clock, timers, irq, sink: { write() {} } });
    return uart;
  },
  async (pair) => {
    const base = 0x3f8;
    await pair.write(base + 4, 0x08);
    await pair.write(base + 2, 0x01);
    for (let i = 0; i < STEPS; i++) {
      const register = pair.below(8);
      const what = pair.below(16);
      // An empty FIFO reads as nothing in particular; QEMU sets no changes for loopback.
      const empty = !(uart.save().lcr & 0x80) && uart.save().received.length === 0;
      if (what < 9) {
        const mask = register === 6 ? 0xf0 : 0xff;
        if (register !== 0 || !empty) await pair.read(base + register, mask);
      } else if (what < 11) await pair.write(base, pair.below(256));
      else if (what < 12) await pair.write(base + 1, pair.below(8));
      // QEMU takes clearing the transmit FIFO for its going empty: bit 2 stays clear here.
      else if (what < 13) await pair.write(base + 2, (pair.below(256) & 0xf2) | 1);
      else if (what < 14) await pair.write(base + 3, pair.pick(0x03, 0x03, 0x83));
      else if (what < 15) await pair.write(base + 4, pair.below(32));
      else await pair.write(base + 7, pair.below(256));
    }
  },
);

compare(
  'i8042',
  () => new I8042({ keyboardIrq: irq, auxIrq: irq, a20: irq, reset() {} }),
  async (pair) => {
    const drain = async () => {
      // QEMU never clears the bit that tells commands from data.
      while ((await pair.read(0x64, 0xf7)) & 1) await pair.read(0x60);
    };
    const command = async (value: number, parameter?: number) => {
      await pair.write(0x64, value);
      if (parameter !== undefined) await pair.write(0x60, parameter);
      await drain();
    };
    await command(0xaa);
    // QEMU keeps the system flag in two places, so it stays set in both.
    await command(0x60, 0x05);
    for (let i = 0; i < STEPS / 8; i++) {
      const what = pair.below(6);
      if (what < 2) {
        const value = pair.pick(0xed, 0xee, 0xf0, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xff, 0xab, 0xf7);
        await pair.write(0x60, value);
        await drain();
        if (value !== 0xed && value !== 0xf0 && value !== 0xf3) continue;
        await pair.write(0x60, pair.below(value === 0xf0 ? 3 : 8));
        await drain();
      } else if (what < 4) {
        const all = [0x20, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xad, 0xae, 0xc0, 0xd0, 0xdd, 0xdf];
        await command(pair.pick(...all));
      } else if (what < 5) await command(0x60, pair.pick(0x04, 0x44) | pair.below(4));
      else await command(pair.pick(0xd2, 0xd3), pair.below(256));
    }
  },
);

compare(
  'rtc146818',
  () => new Rtc146818({ clock, timers, irq }),
  async (pair) => {
    const write = async (index: number, value: number) => {
      await pair.write(0x70, index);
      await pair.write(0x71, value);
    };
    const readAll = async () => {
      for (const index of [0, 2, 4, 6, 7, 8, 9, 0x32, 0x0a, 0x0b, 0x0d]) {
        await pair.write(0x70, index);
        await pair.read(0x71);
      }
    };
    await write(0x0b, 0x02);
    await write(0x0a, 0x26);
    await readAll();
    for (let i = 0; i < STEPS / 32; i++) {
      const b = pair.below(4) * 2;
      const number = (n: number) => (b & 4 ? n : (Math.floor(n / 10) << 4) | (n % 10));
      const hour = pair.below(24);
      const hours = b & 2 ? number(hour) : number(hour % 12 || 12) | (hour >= 12 ? 0x80 : 0);
      const [year, month, day] = [1980 + pair.below(120), pair.below(12), 1 + pair.below(28)];
      const how = pair.pick('running', 'set', 'set and divider');
      await write(0x0b, how === 'running' ? b : 0x80 | b);
      if (how === 'set and divider') await write(0x0a, 0x66);
      await write(0x32, number(Math.floor(year / 100)));
      await write(0x09, number(year % 100));
      await write(0x08, number(month + 1));
      await write(0x07, number(day));
      await write(0x06, new Date(Date.UTC(year, month, day)).getUTCDay() + 1);
      await write(0x04, hours);
      await write(0x02, number(pair.below(60)));
      await write(0x00, number(pair.below(60)));
      await readAll();
      await write(0x0b, b);
      if (how === 'set and divider') await write(0x0a, 0x26);
      await readAll();
      await write(0x0b, pair.below(4) * 2);
      await readAll();
    }
  },
);
