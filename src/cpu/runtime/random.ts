/** RDRAND and RDSEED: the host's random numbers never run dry, so CF is always 1. [SDM 2B RDRAND] */
import { random_u32 } from './env';
import { write_status_flags } from './flags';
import { F_CF } from './private';

/** A random number of which the instruction takes as many bits as it wants. */
export function rdrand(): u64 {
  const value = (u64(random_u32()) << 32) | random_u32();
  write_status_flags(F_CF);
  return value;
}

export function rdseed(): u64 {
  return rdrand();
}
