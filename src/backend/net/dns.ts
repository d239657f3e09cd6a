import { get16, put16, put32 } from './checksum.js';
import type { HostDatagrams, NetHost } from './net-host.js';

const HEADER_BYTES = 12;
const MAX_QUERY_BYTES = 4096;
const MAX_PENDING = 64;
const PATIENCE_MS = 2000;
const TTL_SECONDS = 60;
/** [RFC 1035 4.1.1] */
const code = { ok: 0, failed: 2, noName: 3, notDone: 4, refused: 5 };
const recordType: Readonly<Record<number, number>> = { 1: 4, 28: 16 };
const IN_CLASS = 1;

interface Question {
  readonly name: string;
  readonly type: number;
  readonly end: number;
}

/** The only question of a query; undefined where there is none that can be read. */
function parseQuestion(bytes: Uint8Array): Question | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  while (at < bytes.length && bytes[at] !== 0) {
    const end = at + 1 + bytes[at]!;
    // A length of 64 and more is something else. [RFC 1035 4.1.4]
    if (bytes[at]! > 63 || end > bytes.length || end - HEADER_BYTES > 255) return undefined;
    labels.push(String.fromCharCode(...bytes.subarray(at + 1, end)));
    at = end;
  }
  if (at + 5 > bytes.length || get16(bytes, at + 3) !== IN_CLASS) return undefined;
  return { name: labels.join('.'), type: get16(bytes, at + 1), end: at + 5 };
}

/** Hands the guest's questions to the host's name servers, or to the host itself where none answers. */
export class DnsForwarder {
  private pending = 0;
  /** Give up what a server was asked. */
  private readonly ends = new Set<() => void>();

  constructor(
    private readonly host: NetHost,
    private readonly isRestricted: boolean,
  ) {}

  /** `reply` is called at most once. */
  query(bytes: Uint8Array, reply: (answer: Uint8Array) => void): void {
    const isQuery = bytes.length > HEADER_BYTES && (bytes[2]! & 0x80) === 0;
    const question = isQuery && get16(bytes, 4) === 1 ? parseQuestion(bytes) : undefined;
    if (question === undefined || bytes.length > MAX_QUERY_BYTES) return;
    if (this.isRestricted) reply(answer(bytes, question, code.refused));
    if (this.isRestricted || this.pending >= MAX_PENDING) return;
    this.pending++;
    const servers = this.host.resolvers();
    const next = () => {
      const server = servers.shift();
      if (server === undefined) {
        this.lookUp(bytes, question).then((found) => {
          this.pending--;
          reply(found);
        });
        return;
      }
      let socket: HostDatagrams | undefined;
      let isOver = false;
      const finish = (then: () => void) => {
        if (isOver) return;
        isOver = true;
        cancel();
        socket?.close();
        this.ends.delete(end);
        then();
      };
      const end = () => finish(() => {});
      this.ends.add(end);
      const cancel = this.host.after(PATIENCE_MS, () => finish(next));
      socket = this.host.datagrams(server, {
        message: (found) => {
          const isReply = found.length >= HEADER_BYTES && (found[2]! & 0x80) !== 0;
          if (!isReply || get16(found, 0) !== get16(bytes, 0)) return;
          finish(() => {
            this.pending--;
            reply(found);
          });
        },
        error: () => finish(next),
      });
      socket.send(bytes);
    };
    next();
  }

  close(): void {
    for (const end of this.ends) end();
  }

  private async lookUp(bytes: Uint8Array, question: Question): Promise<Uint8Array> {
    const length = recordType[question.type];
    if (length === undefined) return answer(bytes, question, code.notDone);
    try {
      const found = await this.host.lookup(question.name);
      const right = found.filter((address) => address.length === length);
      return answer(bytes, question, found.length === 0 ? code.noName : code.ok, right);
    } catch {
      return answer(bytes, question, code.failed);
    }
  }
}

const MAX_ADDRESSES = 16;

/** An answer of our own. [RFC 1035 4.1] */
function answer(
  query: Uint8Array,
  { type, end }: Question,
  status: number,
  addresses: Uint8Array[] = [],
): Uint8Array {
  const given = addresses.slice(0, MAX_ADDRESSES);
  const recordBytes = 12 + (recordType[type] ?? 0);
  const result = new Uint8Array(end + given.length * recordBytes);
  result.set(query.subarray(0, end));
  // A response, recursion as it was asked for, and available.
  result[2] = 0x80 | (query[2]! & 0x79);
  result[3] = 0x80 | status;
  put16(result, 6, given.length);
  result.fill(0, 8, HEADER_BYTES);
  given.forEach((address, i) => {
    const at = end + i * recordBytes;
    // The name is the one at the question.
    put16(result, at, 0xc000 | HEADER_BYTES);
    put16(result, at + 2, type);
    put16(result, at + 4, IN_CLASS);
    put32(result, at + 6, TTL_SECONDS);
    put16(result, at + 10, address.length);
    result.set(address, at + 12);
  });
  return result;
}
