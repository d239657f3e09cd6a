import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { MockPci, pciIn } from '../pci/mock-pci.test.js';
import { VirtioPci } from '../pci/virtio-pci.js';
import { readable, writable } from '../queue/mock-driver.test.js';
import { VirtioConsole } from './console.js';
import { consoleConfig, consoleFeature, controlEvent } from './registers.js';

const { size, multiport } = consoleFeature;
const { deviceReady, deviceAdd, portReady, consolePort, resize, portOpen, portName } = controlEvent;

/** A port that a test types on. */
class TestPort {
  out = '';
  private pending = new Uint8Array(0);
  private take: (bytes: Uint8Array) => number = () => 0;

  write(bytes: Uint8Array): void {
    this.out += String.fromCharCode(...bytes);
  }

  connect(take: (bytes: Uint8Array) => number): void {
    this.take = take;
  }

  resume(): void {
    this.pending = this.pending.slice(this.take(this.pending));
  }

  type(text: string): void {
    this.pending = Uint8Array.from([...this.pending, ...ascii(text)]);
    this.resume();
  }

  get left(): number {
    return this.pending.length;
  }
}

const ascii = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));

function threePorts() {
  const backends = [new TestPort(), new TestPort(), new TestPort()] as const;
  const type = new VirtioConsole([
    { backend: backends[0], isConsole: true },
    { backend: backends[1], isConsole: false, name: 'org.chassis.ä' },
    { backend: backends[2], isConsole: true, name: 'second' },
  ]);
  return { backends, type };
}

conform(test, (ctx) => new VirtioPci(threePorts().type, pciIn(ctx)), {
  host: ({ core }, random) => (core.type as VirtioConsole).resize(random() & 0xff, 25),
});

function console(features: readonly number[]) {
  const { backends, type } = threePorts();
  const pci = new MockPci(type).start(features);
  const { ram } = pci;
  const text = (queue: number, bytes: Uint8Array | string) => {
    const data = typeof bytes === 'string' ? ascii(bytes) : bytes;
    pci.send(queue, [readable(ram.place(data), data.length)]);
    assert.equal(pci.drivers[queue]!.take()?.written, 0);
  };
  const tell = (port: number, event: number, value: number) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, port, true);
    view.setUint16(4, event, true);
    view.setUint16(6, value, true);
    text(3, new Uint8Array(view.buffer));
  };
  const places = new Map<string, number>();
  const offer = (queue: number, bytes: number, count = 1) => {
    for (let i = 0; i < count; i++) {
      const at = ram.allocate(bytes);
      places.set(`${queue} ${pci.send(queue, [writable(at, bytes)])}`, at);
    }
  };
  const got = (queue: number): Uint8Array | undefined => {
    const used = pci.drivers[queue]!.take();
    return used && ram.slice(places.get(`${queue} ${used.id}`)!, used.written);
  };
  const messages = () => {
    const list: { port: number; event: number; value: number; more: number[] }[] = [];
    for (let bytes = got(2); bytes !== undefined; bytes = got(2)) {
      const view = new DataView(bytes.buffer);
      list.push({
        port: view.getUint32(0, true),
        event: view.getUint16(4, true),
        value: view.getUint16(6, true),
        more: [...bytes.subarray(8)],
      });
    }
    return list;
  };
  return { backends, type, pci, text, tell, offer, got, messages };
}

test('console: bytes go out and come in, as far as there are buffers', () => {
  const { backends, text, offer, got, pci } = console([]);
  text(1, 'hello ');
  text(1, 'world');
  assert.equal(backends[0].out, 'hello world');
  backends[0].type('abcdefg');
  assert.equal(backends[0].left, 7);
  offer(0, 4);
  assert.equal(backends[0].left, 3);
  offer(0, 4);
  assert.deepEqual([got(0), got(0)], [ascii('abcd'), ascii('efg')]);
  assert.equal(pci.isr(), 1);
});

// requirement: 5.3.5.1-1
test('console: emergency writes work before a driver is there', () => {
  const { backends, type } = threePorts();
  const pci = new MockPci(type);
  pci.setConfig(consoleConfig.emergencyWrite, 4, 0x1234_5641);
  pci.setConfig(consoleConfig.emergencyWrite, 1, 0x42);
  assert.equal(backends[0].out, 'AB');
});

// requirement: 5.3.6.2.1-1
test('console: ports are added once, and told what they are when they are ready', () => {
  const { tell, offer, messages } = console([multiport]);
  offer(2, 64, 16);
  tell(0, deviceReady, 1);
  tell(0, deviceReady, 1);
  assert.deepEqual(
    messages().map(({ port, event }) => [port, event]),
    [0, 1, 2].map((port) => [port, deviceAdd]),
  );
  tell(1, portReady, 1);
  const name = [...new TextEncoder().encode('org.chassis.ä')];
  assert.deepEqual(messages(), [
    { port: 1, event: portName, value: 1, more: name },
    { port: 1, event: portOpen, value: 1, more: [] },
  ]);
  tell(0, portReady, 1);
  assert.deepEqual(
    messages().map(({ event }) => event),
    [consolePort, resize, portOpen],
  );
  tell(7, portReady, 1);
  tell(1, 99, 1);
  assert.deepEqual(messages(), []);
});

test('console: messages wait for buffers, and a resize comes as configuration and as message', () => {
  const { tell, offer, messages, type, pci } = console([multiport, size]);
  tell(0, deviceReady, 1);
  tell(2, portReady, 1);
  assert.deepEqual(messages(), []);
  offer(2, 64, 12);
  assert.equal(messages().length, 7);
  pci.isr();
  type.resize(132, 50);
  assert.equal(pci.config(consoleConfig.columns, 2), 132);
  assert.equal(pci.config(consoleConfig.rows, 2), 50);
  assert.equal(pci.isr() & 2, 2);
  assert.deepEqual(messages(), [{ port: 2, event: resize, value: 0, more: [132, 0, 50, 0] }]);
});

test('console: a named port takes input while a process has it open', () => {
  const { backends, tell, offer, got, text } = console([multiport]);
  tell(0, deviceReady, 1);
  tell(1, portReady, 1);
  offer(4, 16, 3);
  backends[1].type('early');
  assert.equal(backends[1].left, 5);
  tell(1, portOpen, 1);
  assert.deepEqual(got(4), ascii('early'));
  text(5, 'answer');
  assert.equal(backends[1].out, 'answer');
  tell(1, portOpen, 0);
  backends[1].type('late');
  assert.equal(backends[1].left, 4);
});
