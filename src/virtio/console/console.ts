import type { Codec } from '../../base/codec.js';
import type { VirtioHost, VirtioType } from '../core/virtio-type.js';
import type { Virtqueue } from '../queue/virtqueue.js';
import * as r from './registers.js';
import { type ConsoleState, consoleCodec } from './state.js';

/** What is behind a port: bytes both ways, with flow control. */
export interface PortBackend {
  write(bytes: Uint8Array): void;
  /** `take` answers how many bytes it took; the rest is offered again by `resume`. */
  connect(take: (bytes: Uint8Array) => number): void;
  resume(): void;
}

export interface ConsolePort {
  readonly backend: PortBackend;
  /** UTF-8; a guest finds the port by it in /dev/virtio-ports. */
  readonly name?: string;
  /** A terminal (hvc0, ...) and no plain channel. */
  readonly isConsole: boolean;
}

/** Output is handed on in pieces of this size. */
const PIECE_BYTES = 4096;
/** Of one buffer: a chain may name the same memory again and again. */
const MAX_OUTPUT_BYTES = 1 << 20;

/** Consoles and named byte channels. [VIRTIO 5.3] */
export class VirtioConsole implements VirtioType<ConsoleState> {
  // Fixed configuration.
  readonly name = 'console';
  readonly deviceId = r.CONSOLE_DEVICE_ID;
  readonly classCode = r.CONSOLE_CLASS;
  readonly features = Object.values(r.consoleFeature);
  readonly queueSizes: readonly number[];
  readonly config = new Uint8Array(r.consoleConfig.bytes);
  readonly stateVersion = 1;
  readonly stateCodec: Codec<ConsoleState>;
  private readonly view = new DataView(this.config.buffer);
  private readonly names: readonly Uint8Array[];

  // Wiring.
  private host!: VirtioHost;

  // Guest-visible state.
  private announced = false;
  private ready: boolean[];
  private open: boolean[];
  private waiting: ConsoleState['waiting'] = [];

  constructor(private readonly ports: readonly ConsolePort[]) {
    this.names = ports.map(({ name }) => utf8(name ?? ''));
    this.queueSizes = Array(2 + 2 * Math.min(ports.length, r.MAX_PORTS)).fill(r.CONSOLE_QUEUE_SIZE);
    this.view.setUint32(r.consoleConfig.maxPorts, ports.length, true);
    this.ready = ports.map(() => false);
    this.open = ports.map(() => false);
    this.stateCodec = consoleCodec(ports.length);
  }

  attach(host: VirtioHost): void {
    this.host = host;
    this.ports.forEach(({ backend }, port) => {
      backend.connect((bytes) => this.input(port, bytes));
    });
  }

  private get isMultiport(): boolean {
    return this.host.has(r.consoleFeature.multiport);
  }

  /** The terminal's window has another size now. */
  resize(columns: number, rows: number): void {
    this.view.setUint16(r.consoleConfig.columns, columns, true);
    this.view.setUint16(r.consoleConfig.rows, rows, true);
    if (this.host.has(r.consoleFeature.size)) this.host.configChanged();
    this.ports.forEach(({ isConsole }, port) => {
      if (isConsole && this.ready[port]) this.tell(port, r.controlEvent.resize);
    });
  }

  configWrite(offset: number, _width: 1 | 2 | 4, value: number): void {
    // At any time, even before a driver has set the device up.
    if (offset !== r.consoleConfig.emergencyWrite) return;
    this.ports[0]?.backend.write(Uint8Array.of(value & 0xff));
  }

  notified(index: number): void {
    const queue = this.host.queue(index);
    const port = r.portOfQueue(index);
    if (queue === undefined || (index > 1 && !this.isMultiport)) return;
    if (index === r.CONTROL_RECEIVE) this.flush();
    else if (index === r.CONTROL_TRANSMIT) this.commands(queue);
    else if (index === r.receiveQueue(port)) this.ports[port]?.backend.resume();
    else this.output(queue, port);
  }

  private output(queue: Virtqueue, port: number): void {
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      const bytes = Math.min(chain.readableBytes, MAX_OUTPUT_BYTES);
      for (let at = 0; at < bytes; at += PIECE_BYTES) {
        const piece = new Uint8Array(Math.min(PIECE_BYTES, bytes - at));
        // What is not in memory is not output.
        if (!chain.read(at, piece)) break;
        this.ports[port]?.backend.write(piece);
      }
      queue.push(chain, 0);
    }
    queue.notify();
  }

  /** Bytes for the guest; answers how many it took. */
  private input(port: number, bytes: Uint8Array): number {
    const queue = this.host?.queue(r.receiveQueue(port));
    // A channel that no process has open keeps its input on the host's side.
    if (queue === undefined || (this.isMultiport && !this.open[port])) return 0;
    let taken = 0;
    while (taken < bytes.length) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const piece = bytes.subarray(taken, taken + chain.writableBytes);
      chain.write(0, piece);
      queue.push(chain, piece.length);
      taken += piece.length;
    }
    queue.notify();
    return taken;
  }

  private commands(queue: Virtqueue): void {
    const message = new Uint8Array(r.CONTROL_BYTES);
    const view = new DataView(message.buffer);
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (chain.read(0, message)) {
        this.command(view.getUint32(0, true), view.getUint16(4, true), view.getUint16(6, true));
      }
      queue.push(chain, 0);
    }
    queue.notify();
    this.flush();
  }

  private command(port: number, event: number, value: number): void {
    if (event === r.controlEvent.deviceReady) {
      // Each port is announced once: a port that is there must not be added again.
      if (value !== 1 || this.announced) return;
      this.announced = true;
      this.ports.forEach((_, index) => {
        this.tell(index, r.controlEvent.deviceAdd);
      });
      return;
    }
    if (port >= this.ports.length) return;
    if (event === r.controlEvent.portReady) {
      this.ready[port] = value === 1;
      if (!this.ready[port]) return;
      const { isConsole, name } = this.ports[port]!;
      if (isConsole) {
        this.tell(port, r.controlEvent.consolePort, 1);
        this.tell(port, r.controlEvent.resize);
      }
      if (name !== undefined) this.tell(port, r.controlEvent.portName, 1);
      // The host's end is always there.
      this.tell(port, r.controlEvent.portOpen, 1);
    } else if (event === r.controlEvent.portOpen) {
      this.open[port] = value === 1;
      if (this.open[port]) this.ports[port]!.backend.resume();
    }
  }

  private tell(port: number, event: number, value = 0): void {
    if (!this.isMultiport || this.waiting.length === r.MAX_WAITING) return;
    this.waiting.push({ port, event, value });
    this.flush();
  }

  private flush(): void {
    const queue = this.host.queue(r.CONTROL_RECEIVE);
    if (queue === undefined) return;
    while (this.waiting.length > 0) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const bytes = this.message(this.waiting.shift()!);
      const isWhole = chain.write(0, bytes);
      queue.push(chain, isWhole ? bytes.length : 0);
    }
    queue.notify();
  }

  private message({ port, event, value }: ConsoleState['waiting'][number]): Uint8Array {
    const { resize, portName } = r.controlEvent;
    const size = this.config.subarray(r.consoleConfig.columns, r.consoleConfig.maxPorts);
    const more =
      event === resize ? size : event === portName ? this.names[port]! : size.subarray(4);
    const bytes = new Uint8Array(r.CONTROL_BYTES + more.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, port, true);
    view.setUint16(4, event, true);
    view.setUint16(6, value, true);
    bytes.set(more, r.CONTROL_BYTES);
    return bytes;
  }

  reset(): void {
    this.announced = false;
    this.ready.fill(false);
    this.open.fill(false);
    this.waiting = [];
  }

  save(): ConsoleState {
    return {
      columns: this.view.getUint16(r.consoleConfig.columns, true),
      rows: this.view.getUint16(r.consoleConfig.rows, true),
      announced: this.announced,
      ready: [...this.ready],
      open: [...this.open],
      waiting: [...this.waiting],
    };
  }

  restore({ columns, rows, announced, ready, open, waiting }: ConsoleState): void {
    this.view.setUint16(r.consoleConfig.columns, columns, true);
    this.view.setUint16(r.consoleConfig.rows, rows, true);
    this.announced = announced;
    this.ready = [...ready];
    this.open = [...open];
    this.waiting = [...waiting];
  }
}

/** There is no TextEncoder here. */
function utf8(text: string): Uint8Array {
  const escaped = encodeURIComponent(text).matchAll(/%(..)|[^%]/g);
  return Uint8Array.from(escaped, ([one, hex]) =>
    hex ? Number.parseInt(hex, 16) : one.charCodeAt(0),
  );
}
