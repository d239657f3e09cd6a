import { array, type ByteReader, bool, type Codec, f64, oneOf, struct, u8 } from '../base/codec.js';
import type { DeviceConfig, MachineConfig, NamedFile } from './config.js';

/** What a snapshot holds of the configuration: all but what the host chooses anew (`trace`). */
export type SavedConfig = Omit<MachineConfig, 'trace'>;

export const CONFIG_VERSION = 1;
const MAX_TEXT = 1 << 20;
const MAX_FILE = 2 ** 31;

function blob(max: number): Codec<Uint8Array> {
  return {
    encode(writer, value) {
      writer.u32(value.length);
      writer.bytes(value);
    },
    decode(reader: ByteReader) {
      const length = reader.u32();
      if (length > max) reader.fail(`${length} bytes`, `at most ${max}`);
      return reader.bytes(length);
    },
  };
}

/** UTF-16 code units: any string comes back as it was. */
const text: Codec<string> = {
  encode(writer, value) {
    writer.u32(value.length);
    for (let i = 0; i < value.length; i++) writer.u16(value.charCodeAt(i));
  },
  decode(reader) {
    const length = reader.u32();
    if (length > MAX_TEXT) reader.fail(`${length} characters`, `at most ${MAX_TEXT}`);
    let value = '';
    for (let i = 0; i < length; i++) value += String.fromCharCode(reader.u16());
    return value;
  },
};

function optional<T>(codec: Codec<T>): Codec<T | undefined> {
  return {
    encode(writer, value) {
      bool.encode(writer, value !== undefined);
      if (value !== undefined) codec.encode(writer, value);
    },
    decode: (reader) => (bool.decode(reader) ? codec.decode(reader) : undefined),
  };
}

const file: Codec<NamedFile> = struct<NamedFile>({ name: text, data: blob(MAX_FILE) });
const option = struct<{ key: string; value: string }>({ key: text, value: text });
const device = struct<{ name: string; options: { key: string; value: string }[] }>({
  name: text,
  options: array(option, 64),
});

interface Shape {
  machine: 'pc';
  cpus: number;
  memoryBytes: number;
  firmware: NamedFile | undefined;
  kernel: NamedFile | undefined;
  initrd: NamedFile | undefined;
  append: string | undefined;
  modules: NamedFile[];
  devices: { name: string; options: { key: string; value: string }[] }[];
  reboot: 'restart' | 'end';
}

const shape: Codec<Shape> = struct<Shape>({
  machine: oneOf('pc'),
  cpus: u8({ min: 1 }),
  memoryBytes: f64({ min: 0 }),
  firmware: optional(file),
  kernel: optional(file),
  initrd: optional(file),
  append: optional(text),
  modules: array(file, 256),
  devices: array(device, 64),
  reboot: oneOf('restart', 'end'),
});

export const configCodec: Codec<SavedConfig> = {
  encode(writer, config) {
    shape.encode(writer, {
      machine: config.machine,
      cpus: config.cpus,
      memoryBytes: config.memoryBytes,
      firmware: config.firmware,
      kernel: config.kernel,
      initrd: config.initrd,
      append: config.append,
      modules: [...(config.modules ?? [])],
      devices: config.devices.map(({ name, options }) => ({
        name,
        options: Object.entries(options).map(([key, value]) => ({ key, value })),
      })),
      reboot: config.reboot ?? 'restart',
    });
  },
  decode(reader) {
    const { firmware, kernel, initrd, append, modules, devices, ...rest } = shape.decode(reader);
    return {
      ...rest,
      ...(firmware === undefined ? {} : { firmware }),
      ...(kernel === undefined ? {} : { kernel }),
      ...(initrd === undefined ? {} : { initrd }),
      ...(append === undefined ? {} : { append }),
      ...(modules.length === 0 ? {} : { modules }),
      devices: devices.map(
        ({ name, options }): DeviceConfig => ({
          name,
          options: Object.fromEntries(options.map(({ key, value }) => [key, value])),
        }),
      ),
    };
  },
};
