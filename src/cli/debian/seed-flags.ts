import { existsSync } from 'node:fs';
import type { FlagTable, ParsedArgs } from '../args.js';
import { usageError } from '../exit-status.js';
import { readInput } from '../host-files.js';
import { checkName } from '../image/store.js';
import type { Seed } from './seed.js';

/** What the guest's user is like: said at a VM's first start, and whenever it is to change. */
export const seedFlags: FlagTable = {
  user: { value: 'NAME', help: 'who logs in, and may do all by sudo (debian)' },
  password: { value: 'TEXT', help: 'on the console (debian); ssh takes keys only' },
  'ssh-key': {
    value: 'FILE',
    repeatable: true,
    help: 'a public key that may log in by ssh, such as ~/.ssh/id_ed25519.pub',
  },
  hostname: { value: 'NAME', help: 'of the guest (the VM’s name)' },
};

/** Undefined where no flag speaks of it and the VM is not new. */
export function seedOf(args: ParsedArgs, vm: string, isNew: boolean): Seed | undefined {
  if (!isNew && !Object.keys(seedFlags).some((flag) => args.has(flag))) return undefined;
  const user = args.one('user') ?? 'debian';
  if (!/^[a-z_][a-z\d_-]{0,30}$/.test(user) || user === 'root') {
    const wanted = 'a name of up to 31 lower-case letters, digits, - and _, other than root';
    throw usageError(`--user: found "${user}", wanted ${wanted}`);
  }
  const password = args.one('password') ?? 'debian';
  if (!/^[^\p{Cc}]+$/u.test(password)) {
    throw usageError('--password: found an empty one or control characters, wanted a line of text');
  }
  const sshKeys = args.all('ssh-key').flatMap(publicKeys);
  const hostname = checkName('--hostname', args.one('hostname') ?? vm);
  return { user, password, sshKeys, hostname };
}

const publicKey = /^(ssh-|ecdsa-|sk-)[\w@.-]+ [\w+/]+={0,2}( .*)?$/;

/** The keys of a file, or the one that the flag itself is. */
function publicKeys(value: string): string[] {
  if (publicKey.test(value) && !existsSync(value)) return [value];
  const text = new TextDecoder().decode(readInput('--ssh-key', value).data);
  if (text.includes('PRIVATE KEY')) {
    throw usageError(`--ssh-key: ${value} is a private key, wanted the public one, ${value}.pub`);
  }
  const lines = text.split('\n').map((line) => line.trim());
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.length > 0 && keys.every((line) => publicKey.test(line))) return keys;
  throw usageError(`--ssh-key: ${value}: found no line such as "ssh-ed25519 AAAA... name"`);
}
