import { promisify } from 'node:util';
import { deflateRaw, inflateRaw, constants as zlib } from 'node:zlib';
import type { ClusterCodec, Compression } from '../disk/disk-file.js';

const deflate = promisify<Uint8Array, object, Buffer>(deflateRaw);
const inflate = promisify<Uint8Array, object, Buffer>(inflateRaw);

/** Raw deflate in a window of 4 KiB, which is what readers of qcow2 are prepared for. */
const zlibCodec: ClusterCodec = {
  async compress(cluster) {
    const packed = await deflate(cluster, { windowBits: 12 });
    return packed.length < cluster.length ? packed : undefined;
  },
  async decompress(from, into) {
    // What follows the data in its last sector is not an error, and neither is a cut-off end.
    const options = { finishFlush: zlib.Z_SYNC_FLUSH, maxOutputLength: into.length };
    fill(into, await inflate(from, options));
  },
};

async function zstdCodec(): Promise<ClusterCodec> {
  const { Zstd } = await import('@hpcc-js/wasm-zstd');
  const zstd = await Zstd.load();
  return {
    async compress(cluster) {
      const packed = zstd.compress(cluster);
      return packed.length < cluster.length ? packed : undefined;
    },
    async decompress(from, into) {
      zstd.reset();
      fill(into, zstd.decompressChunk(from, into.length));
    },
  };
}

function fill(into: Uint8Array, bytes: Uint8Array): void {
  if (bytes.length !== into.length) throw new Error(`${bytes.length} of ${into.length} bytes`);
  into.set(bytes);
}

let loadedZstd: Promise<ClusterCodec> | undefined;

/** zlib by Node, in its pool's threads; zstd, which Node 20 lacks, by WebAssembly. */
export function clusterCodec(compression: Compression): Promise<ClusterCodec> {
  if (compression === 'zlib') return Promise.resolve(zlibCodec);
  loadedZstd ??= zstdCodec();
  return loadedZstd;
}
