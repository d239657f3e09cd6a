import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { NetBackend } from '#src/backend/net/guest-port.js';
import { openTap } from '#src/backend/node/host-tap.js';
import { type Forward, openUserNet } from '#src/backend/node/host-user-net.js';
import { plainPacket } from '#src/virtio/net/packets.js';
import type { Random } from '../disk/random.js';
import { plan } from './nat-rig.js';

const program = fileURLToPath(new URL('./linux-guest-child.js', import.meta.url));

/** Why there can be no such guest here; undefined where there can. */
export function noLinuxGuest(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root makes network namespaces';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  try {
    execFileSync('ip', ['netns', 'add', 'chassis-may']);
    execFileSync('ip', ['netns', 'del', 'chassis-may']);
    return undefined;
  } catch (error) {
    return `no network namespaces: ${(error as Error).message.split('\n').at(-1)}`;
  }
}

export interface LinuxGuestOptions {
  /** The card takes and gives segments that stand for several. */
  readonly takesLarge?: boolean;
  /** How many frames are lost, of 1: to the guest, and from it; of these as many come late. */
  readonly loss?: number;
  readonly lossUp?: number;
  readonly random?: Random;
  readonly forwards?: readonly Forward[];
}

let count = 0;

/** This host's own Linux as the guest of a user-mode NAT: in a network namespace, behind a TAP. */
export class LinuxGuest {
  private constructor(
    private readonly name: string,
    private readonly tap: NetBackend,
    private readonly net: NetBackend,
  ) {}

  static async open(options: LinuxGuestOptions = {}): Promise<LinuxGuest> {
    const { takesLarge = true, loss = 0, lossUp = 0, random, forwards = [] } = options;
    const name = `ch${process.pid}-${count++}`;
    const tap = openTap(name);
    const net = await openUserNet({ ...plan, forwards });
    net.connect({
      receive(frame, header = plainPacket) {
        if (loss === 0 || random!.next() >= loss) tap.send(frame, header);
        return true;
      },
      accepts: () => takesLarge,
    });
    tap.connect({
      receive(frame, header = plainPacket) {
        if (lossUp > 0 && random!.next() < lossUp) return true;
        if (lossUp > 0 && random!.next() < lossUp) setTimeout(() => net.send(frame, header), 1);
        else net.send(frame, header);
        return true;
      },
      accepts: () => takesLarge,
    });
    const guest = new LinuxGuest(name, tap, net);
    guest.ip(`netns add ${name}`);
    guest.ip(`link set ${name} netns ${name}`);
    guest.in('ip link set lo up');
    guest.in(`ip link set ${name} up`);
    guest.in(`ip addr add 10.0.2.15/24 dev ${name}`);
    guest.in(`ip -6 addr add fec0::15/64 dev ${name} nodad`);
    guest.in('ip route add default via 10.0.2.2');
    return guest;
  }

  private ip(command: string): void {
    execFileSync('ip', command.split(' '), { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  private in(command: string): void {
    this.ip(`netns exec ${this.name} ${command}`);
  }

  /** Runs the guest's side of a test, and answers what it printed. */
  async run(...args: readonly (string | number)[]): Promise<string> {
    const command = ['netns', 'exec', this.name, process.execPath, program, ...args.map(String)];
    const { stdout } = await promisify(execFile)('ip', command, { timeout: 60_000 });
    return stdout.trim();
  }

  close(): void {
    this.ip(`netns del ${this.name}`);
    this.tap.close();
    this.net.close();
  }
}
