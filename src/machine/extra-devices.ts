import { PORT } from '../chipset/isa-debug-exit/registers.js';
import { MachineError } from './machine-error.js';
import { checkVirtio, checkVirtioCount, virtioNames } from './virtio-devices.js';

/** `--device NAME[,key=value...]`. */
export interface DeviceConfig {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

const DEBUG_EXIT = 'isa-debug-exit';
const known = [DEBUG_EXIT, ...virtioNames];

/** Throws {@link MachineError} unless every `--device` is one that there is, with good options. */
export function checkDevices(devices: readonly DeviceConfig[]): void {
  checkVirtioCount(devices);
  for (const device of devices) {
    if (!known.includes(device.name)) {
      throw new MachineError(
        'bad-config',
        `--device: found "${device.name}", wanted ${known.join(' or ')}`,
      );
    }
    if (device.name !== DEBUG_EXIT) {
      checkVirtio(device);
      continue;
    }
    debugExitPort(device);
    if (devices.filter(({ name }) => name === device.name).length > 1) {
      throw new MachineError('bad-config', `--device: found ${device.name} twice, wanted it once`);
    }
  }
}

/** The devices that stand at ports of their own. */
export function isaDevices(devices: readonly DeviceConfig[]): readonly DeviceConfig[] {
  return devices.filter(({ name }) => name === DEBUG_EXIT);
}

/** Where isa-debug-exit stands: `iobase=0xf4`. */
export function debugExitPort({ name, options }: DeviceConfig): number {
  let port = PORT;
  for (const [key, value] of Object.entries(options)) {
    if (key === 'iosize') continue;
    const number = /^(\d+|0x[\da-f]+)$/i.test(value) ? Number(value) : Number.NaN;
    if (key !== 'iobase' || !(number >= 0 && number <= 0xfffc)) {
      throw new MachineError(
        'bad-config',
        `--device ${name}: found ${key}=${value}, wanted iobase=PORT with a port up to 0xfffc`,
      );
    }
    port = number;
  }
  return port;
}
