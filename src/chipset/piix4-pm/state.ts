import { type Codec, f64, struct, u8, u16 } from '../../base/codec.js';
import { CONTROL_STORED, PM1_ENABLE_BITS, PM1_STATUS_BITS } from './registers.js';

export interface Piix4PmState {
  config: Uint8Array;
  status: number;
  enable: number;
  control: number;
  gpeStatus: number;
  gpeEnable: number;
  apmCommand: number;
  apmStatus: number;
  /** Tick of the PM timer whose passing sets TMROF_STS. */
  overflowTick: number;
}

function bits(allowed: number): Codec<number> {
  const plain = u16();
  return {
    encode: plain.encode,
    decode(reader) {
      const value = plain.decode(reader);
      return (value & ~allowed) === 0 ? value : reader.fail(value, 'reserved bits zero');
    },
  };
}

const tick: Codec<number> = {
  encode: (writer, value) => f64().encode(writer, value),
  decode(reader) {
    const value = f64().decode(reader);
    if (Number.isSafeInteger(value) && value > 0) return value;
    return reader.fail(value, 'a whole number above 0');
  },
};

/** `config` knows which bytes this function fixes. */
export function piix4PmCodec(config: Codec<Uint8Array>): Codec<Piix4PmState> {
  return struct<Piix4PmState>({
    config,
    status: bits(PM1_STATUS_BITS),
    enable: bits(PM1_ENABLE_BITS),
    control: bits(CONTROL_STORED),
    gpeStatus: u16(),
    gpeEnable: u16(),
    apmCommand: u8(),
    apmStatus: u8(),
    overflowTick: tick,
  });
}
