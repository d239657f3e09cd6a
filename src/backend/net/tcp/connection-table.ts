import { isSame } from '../address.js';
import type { Connection } from './connection.js';

export const portsOf = (guest: number, peer: number) => (guest << 16) | peer;

/** Connections by both ends. Nothing is made to look one up. */
export class ConnectionTable {
  readonly all = new Set<Connection>();
  /** By both ports. */
  private readonly buckets = new Map<number, Connection[]>();

  find(guest: Uint8Array, peer: Uint8Array, ports: number): Connection | undefined {
    const bucket = this.buckets.get(ports);
    for (let i = 0; bucket !== undefined && i < bucket.length; i++) {
      const one = bucket[i]!;
      if (isSame(one.guest.address, guest) && isSame(one.peer.address, peer)) return one;
    }
    return undefined;
  }

  add(connection: Connection): void {
    const key = portsOf(connection.guest.port, connection.peer.port);
    this.all.add(connection);
    this.buckets.set(key, [...(this.buckets.get(key) ?? []), connection]);
  }

  remove(connection: Connection): void {
    const key = portsOf(connection.guest.port, connection.peer.port);
    const others = (this.buckets.get(key) ?? []).filter((one) => one !== connection);
    this.all.delete(connection);
    if (others.length > 0) this.buckets.set(key, others);
    else this.buckets.delete(key);
  }
}
