import { ethernetBytes, type PacketHeader } from '../../virtio/net/packets.js';
import { gsoType } from '../../virtio/net/registers.js';
import { fold, get16, get32, pseudoSum, put16, put32, sumWords } from './checksum.js';
import { protocol } from './ip.js';

const UDP_BYTES = 8;
const [FIN_PSH, CWR] = [0x09, 0x80];
/** A frame that would be more is nobody's honest one. */
const MAX_SEGMENTS = 1024;

/**
 * The frames that a large one stands for, as the card of a PC would send them: for a guest that
 * does not take large ones. Nothing for a frame that is not what its header says.
 */
export function* segments(frame: Uint8Array, header: PacketHeader): Generator<Uint8Array> {
  const ip = ethernetBytes(frame);
  const isV4 = frame[ip]! >> 4 === 4;
  const { checksumStart: at, gsoBytes, gsoType: kind } = header;
  const isUdp = kind === gsoType.udp;
  const headerBytes = isUdp ? UDP_BYTES : (frame[at + 12]! >> 4) * 4;
  const start = at + headerBytes;
  if (
    at < ip + (isV4 ? 20 : 40) ||
    !(start < frame.length) ||
    frame.length - start > gsoBytes * MAX_SEGMENTS
  ) {
    return;
  }
  if (!isUdp && headerBytes < 20) return;
  const addresses = isV4 ? [ip + 12, ip + 16, ip + 20] : [ip + 8, ip + 24, ip + 40];
  const [source, destination] = [0, 1].map((i) => frame.subarray(addresses[i], addresses[i + 1]));
  for (let from = start; from < frame.length; from += gsoBytes) {
    const end = Math.min(from + gsoBytes, frame.length);
    const piece = new Uint8Array(start + end - from);
    piece.set(frame.subarray(0, start));
    piece.set(frame.subarray(from, end), start);
    const bytes = piece.length - at;
    if (isV4) {
      put16(piece, ip + 2, piece.length - ip);
      put16(piece, ip + 4, (get16(frame, ip + 4) + (from - start) / gsoBytes) & 0xffff);
      put16(piece, ip + 10, 0);
      put16(piece, ip + 10, ~fold(sumWords(piece.subarray(ip, at))) & 0xffff);
    } else put16(piece, ip + 4, piece.length - ip - 40);
    if (isUdp) put16(piece, at + 4, bytes);
    else {
      put32(piece, at + 4, (get32(frame, at + 4) + from - start) >>> 0);
      if (end < frame.length) piece[at + 13]! &= ~FIN_PSH;
      if (from > start) piece[at + 13]! &= ~CWR;
    }
    const field = at + (isUdp ? 6 : 16);
    put16(piece, field, 0);
    const kindOf = isUdp ? protocol.udp : protocol.tcp;
    const sum = fold(sumWords(piece, pseudoSum(source!, destination!, kindOf, bytes), at));
    put16(piece, field, sum === 0xffff ? 0xffff : ~sum & 0xffff);
    yield piece;
  }
}
