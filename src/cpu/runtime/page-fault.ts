import { CPU } from './env';
import { set_fault } from './fault';
import { ACCESS_FETCH, ACCESS_WRITE, CR4, EFER, EXC_ADDRESS } from './generated-layout';
import { CR4_PAE, CR4_SMEP, EFER_NXE, PF, TABLE_USER } from './private';

/**
 * Records a page fault: `cause` is 0 not present, 1 rights, 9 reserved bit [SDM 3A 4.7]. False, so
 * that walks can return it.
 */
export function fault_page(linear: u64, access: i32, table: i32, cause: i32): bool {
  let error = cause;
  if (access == ACCESS_WRITE) error |= 2;
  if (table == TABLE_USER) error |= 4;
  if (access == ACCESS_FETCH) {
    const cr4 = load<u64>(CPU, CR4);
    if (cr4 & CR4_SMEP || (cr4 & CR4_PAE && load<u64>(CPU, EFER) & EFER_NXE)) error |= 16;
  }
  store<u64>(CPU, linear, EXC_ADDRESS);
  set_fault(PF, 1, error);
  return false;
}
