/** What is in an image, besides what Debian marks as required. */
export const debianPackages: readonly string[] = [
  ...['systemd-sysv', 'dbus', 'udev', 'login', 'kmod', 'procps', 'sudo', 'less', 'nano'],
  ...['e2fsprogs', 'systemd-resolved', 'netbase', 'iproute2', 'iputils-ping', 'openssh-server'],
  ...['curl', 'ca-certificates', 'cloud-init', 'initramfs-tools', 'busybox'],
  'linux-image-cloud-amd64',
];

/** Where the only partition begins: room for a boot loader before it, as partitioners leave. */
export const partitionOffset = 1 << 20;

/** The kernel's command line for a disk of ours, but for its console. */
export const rootArguments = 'root=/dev/vda1 ro';

/** Made by a seed whose work is done before there is a network. */
export const seedIsDone = '/run/cloud-init/chassis-seed-is-done';

const wantedBy = '/etc/systemd/system/multi-user.target.wants';

/** Files that are there before the packages are, by name. */
export const debianFiles: Readonly<Record<string, string>> = {
  // Without these an initramfs is made for every machine there is, and is four times as large.
  '/etc/initramfs-tools/conf.d/chassis': 'MODULES=list\nCOMPRESS=gzip\nRESUME=none\n',
  '/usr/share/initramfs-tools/modules.d/chassis':
    'virtio_pci\nvirtio_mmio\nvirtio_blk\nvirtio_console\next4\ncrc32c_generic\n',
  '/etc/fstab': '/dev/vda1 / ext4 errors=remount-ro 0 1\n',
  '/etc/hostname': 'debian\n',
  '/etc/hosts': '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n',
  '/etc/systemd/network/80-ethernet.network':
    '[Match]\nType=ether\n\n[Network]\nDHCP=yes\nIPv6AcceptRA=yes\n',
  '/etc/sysctl.d/90-ping.conf': 'net.ipv4.ping_group_range = 0 2147483647\n',
  // The seed is looked for as a volume, and nothing is done where there is none.
  '/etc/cloud/ds-identify.cfg': 'policy: search,found=first,maybe=none,notfound=disabled\n',
  // A list of one source is taken without looking for it; the second is found by another label.
  // What is in no list here takes seconds at a first start, for things that this image does not have.
  '/etc/cloud/cloud.cfg.d/90_chassis.cfg': [
    'datasource_list: [NoCloud, ConfigDrive]',
    'network: {config: disabled}',
    'manage_etc_hosts: localhost',
    'ssh_deletekeys: false',
    'ssh_genkeytypes: [ed25519]',
    "output: {all: '>> /var/log/cloud-init-output.log'}",
    'cloud_init_modules: [bootcmd, write-files, mounts, set_hostname, update_hostname,',
    '  update_etc_hosts, ca-certs, users-groups, ssh]',
    'cloud_config_modules: [set-passwords, apt-configure, ntp, timezone, runcmd]',
    'cloud_final_modules: [package-update-upgrade-install, write-files-deferred, scripts-vendor,',
    '  scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, power-state-change]',
    '',
  ].join('\n'),
  // A seed that had nothing to wait for the network for says so, and two starts of Python are saved.
  ...Object.fromEntries(
    ['cloud-init', 'cloud-config'].map((unit) => [
      `/etc/systemd/system/${unit}.service.d/chassis.conf`,
      `[Unit]\nConditionPathExists=!${seedIsDone}\n`,
    ]),
  ),
  // An image has no keys of its own: every VM makes some.
  '/etc/systemd/system/ssh-host-key.service': [
    '[Unit]',
    'Description=OpenSSH host key',
    'ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key',
    'Before=ssh.service',
    '',
    '[Service]',
    'Type=oneshot',
    "ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key",
    '',
  ].join('\n'),
};

/** Symbolic links, by name: units that are wanted, and those that are not. */
export const debianLinks: Readonly<Record<string, string>> = {
  [`${wantedBy}/systemd-networkd.service`]: '/lib/systemd/system/systemd-networkd.service',
  [`${wantedBy}/ssh-host-key.service`]: '/etc/systemd/system/ssh-host-key.service',
  // There is no screen; and what works unasked in the background takes the guest's CPU.
  ...Object.fromEntries(
    [
      ...['getty@tty1.service', 'apt-daily.timer', 'apt-daily-upgrade.timer'],
      ...['e2scrub_reap.service', 'e2scrub_all.timer', 'cloud-init-hotplugd.socket'],
    ].map((unit) => [`/etc/systemd/system/${unit}`, '/dev/null']),
  ),
};

/** Taken away at the end. */
export const debianLeftovers: readonly string[] = ['/etc/ssh/ssh_host_*', '/var/log/*.log'];
