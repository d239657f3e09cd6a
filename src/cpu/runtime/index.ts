// Every function that generated code or the run loop calls.
export { raise, raise_gp0, raise_nm, raise_ss0, raise_ud, set_fault } from './fault';
