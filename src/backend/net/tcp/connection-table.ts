import type { Connection } from './connection.js';
import type { Endpoint } from './tcp-environment.js';

function hashOf(hash: number, address: Uint8Array): number {
  for (let i = 0; i < address.length; i++) hash = Math.imul(hash ^ address[i]!, 0x0100_0193);
  return hash;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Connections by both ends. Nothing is made to look one up. */
export class ConnectionTable {
  readonly all = new Set<Connection>();
  private readonly buckets = new Map<number, Connection>();

  /** Other ends for each guest that has one: the guest cannot know which share a bucket. */
  constructor(private readonly seed: number) {}

  private bucketOf(guest: Uint8Array, guestPort: number, peer: Uint8Array, port: number): number {
    const ports = Math.imul(this.seed ^ (guestPort << 16) ^ port, 0x9e37_79b1);
    return hashOf(hashOf(ports, guest), peer);
  }

  find(
    guest: Uint8Array,
    guestPort: number,
    peer: Uint8Array,
    peerPort: number,
  ): Connection | undefined {
    let found = this.buckets.get(this.bucketOf(guest, guestPort, peer, peerPort));
    for (; found !== undefined; found = found.sibling) {
      const isPorts = found.guest.port === guestPort && found.peer.port === peerPort;
      if (isPorts && isSame(found.guest.address, guest) && isSame(found.peer.address, peer)) break;
    }
    return found;
  }

  private bucket({ guest, peer }: { guest: Endpoint; peer: Endpoint }): number {
    return this.bucketOf(guest.address, guest.port, peer.address, peer.port);
  }

  add(connection: Connection): void {
    const bucket = this.bucket(connection);
    connection.sibling = this.buckets.get(bucket);
    this.buckets.set(bucket, connection);
    this.all.add(connection);
  }

  remove(connection: Connection): void {
    if (!this.all.delete(connection)) return;
    const bucket = this.bucket(connection);
    let before = this.buckets.get(bucket);
    if (before === connection) {
      if (connection.sibling === undefined) this.buckets.delete(bucket);
      else this.buckets.set(bucket, connection.sibling);
      return;
    }
    while (before?.sibling !== connection) before = before?.sibling;
    before.sibling = connection.sibling;
  }
}
