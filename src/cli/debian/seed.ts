import { createHash } from 'node:crypto';
import { seedIsDone } from '../image/debian-recipe.js';
import { type IsoFile, isoVolume } from '../image/iso9660.js';

/** What a VM's cloud-init is told at its first start. */
export interface Seed {
  readonly user: string;
  /** For the console; ssh takes keys only. */
  readonly password: string;
  readonly sshKeys: readonly string[];
  readonly hostname: string;
}

/**
 * A volume that cloud-init finds by its label and takes its data from. What is new to it, it sees by
 * the instance's id, which comes from the seed and from `vm`, the VM's own id.
 */
export function seedVolume(seed: Seed, vm: string, date: Date): Uint8Array {
  const user = {
    name: seed.user,
    gecos: seed.user,
    shell: '/bin/bash',
    groups: ['adm', 'sudo'],
    sudo: 'ALL=(ALL) NOPASSWD:ALL',
    lock_passwd: false,
    plain_text_passwd: seed.password,
    ...(seed.sshKeys.length === 0 ? {} : { ssh_authorized_keys: seed.sshKeys }),
  };
  // JSON is YAML too.
  const userData = `#cloud-config\n${JSON.stringify({ bootcmd: [['touch', seedIsDone]], users: [user] }, null, 2)}\n`;
  const hash = createHash('sha256').update(`${vm}\n${seed.hostname}\n${userData}`).digest('hex');
  const metaData = {
    'instance-id': `i-${hash.slice(0, 16)}`,
    'local-hostname': seed.hostname,
    dsmode: 'local',
  };
  const file = (name: string, text: string): IsoFile => ({
    name,
    data: new TextEncoder().encode(text),
  });
  const files = [
    file('user-data', userData),
    file('meta-data', `${JSON.stringify(metaData, null, 2)}\n`),
  ];
  return isoVolume('cidata', files, date);
}
