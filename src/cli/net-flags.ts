import { randomBytes } from 'node:crypto';
import { isSame, isWithin, parseAddress } from '../backend/net/address.js';
import type { NetBackend } from '../backend/net/guest-port.js';
import { CapturedNet } from '../backend/net/pcap.js';
import { openSwitch, switchPath } from '../backend/node/host-switch.js';
import { openTap } from '../backend/node/host-tap.js';
import { type Forward, openUserNet, type UserNetOptions } from '../backend/node/host-user-net.js';
import type { DeviceConfig } from '../machine/config.js';
import { usageError } from './exit-status.js';
import { openOutput } from './host-files.js';

/** What `--net` says of the card; the rest of it names what is behind. */
const deviceKeys = ['mac', 'queues', 'mtu', 'ring', 'transport'];
const kinds: Readonly<Record<string, readonly string[]>> = {
  user: [
    ...['host', 'guest', 'dns', 'ipv6', 'host6', 'dns6', 'resolver', 'hostname', 'domain'],
    ...['forward', 'restrict', 'pcap'],
  ],
  switch: ['name', 'path', 'pcap'],
  tap: ['name', 'pcap'],
};

export const netHelp = `A network is written KIND[,KEY=VALUE]...; all kinds take mac=, queues=, mtu= and pcap=FILE, a capture:
  user                    a NAT that needs no rights; the host is 10.0.2.2 and fec0::2, with
    forward=tcp|udp:HOST:PORT:[GUEST:]PORT   lets the host's side in; may be repeated
    restrict=on                              the guest reaches only what was forwarded to it
    host= guest= dns= host6= dns6= ipv6=on|off resolver= hostname= domain=
  switch,name=NAME        the machines of this user that name the same switch; or path=SOCKET
  tap,name=IFNAME         an interface of the host, for who may have one
  none                    no card, as without the flag
`;

/** A card for `--net KIND[,key=value...]`; undefined for `none`. */
export function netDevice(text: string): DeviceConfig | undefined {
  if (text === 'none') return undefined;
  const [kind, ...parts] = text.split(',');
  const options: Record<string, string> = Object.create(null);
  const net = [kind];
  for (const part of parts) {
    const key = part.slice(0, Math.max(0, part.indexOf('=')));
    if (!deviceKeys.includes(key)) net.push(part);
    else if (key in options) throw usageError(`--net ${text}: ${key} is given twice`);
    else options[key] = part.slice(key.length + 1);
  }
  options.net = net.join(',');
  const { mtu } = options;
  if (mtu !== undefined && kind === 'user' && Number(mtu) < 1280) {
    throw usageError(`--net user: mtu: found "${mtu}", wanted 1280 to 65499, as IPv6 needs`);
  }
  parseNet(options.net, mtu);
  // Machines that meet on a wire must not have the same address.
  if (kind !== 'user')
    options.mac ??= `52:54:00${randomBytes(3).toString('hex').replace(/../g, ':$&')}`;
  return { name: 'virtio-net', options };
}

/** Opens what is behind the network cards of a machine, in their order. Rejects with a NetError. */
export async function openNets(devices: readonly DeviceConfig[]): Promise<NetBackend[]> {
  const nets: NetBackend[] = [];
  try {
    for (const { name, options } of devices) {
      if (name !== 'virtio-net') continue;
      const { open, pcap } = parseNet(options.net ?? '', options.mtu);
      const sink = pcap === undefined ? undefined : openOutput('--net pcap', pcap);
      const net = await open();
      const wallMs = () => performance.timeOrigin + performance.now();
      nets.push(sink === undefined ? net : new CapturedNet(net, sink, wallMs));
    }
    return nets;
  } catch (error) {
    closeNets(nets);
    throw error;
  }
}

export function closeNets(nets: readonly NetBackend[]): void {
  for (const net of nets) net.close();
}

interface Settings {
  has(key: string): boolean;
  one(key: string): string | undefined;
  all(key: string): string[];
}

/** Throws a usage error for what it does not know; `open` makes the network. */
function parseNet(text: string, mtu: string | undefined) {
  const [kind = '', ...parts] = text.split(',');
  const keys = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (keys === undefined) {
    throw usageError(
      `--net: found "${kind}", wanted ${[...Object.keys(kinds), 'none'].join(' or ')}`,
    );
  }
  const given = parts.map((part): [string, string] => {
    const equals = part.indexOf('=');
    const key = part.slice(0, Math.max(0, equals));
    if (keys.includes(key) && equals + 1 < part.length) return [key, part.slice(equals + 1)];
    const known = [...keys, ...deviceKeys].join(', ');
    throw usageError(`--net ${kind}: found "${part}", wanted KEY=VALUE with one of ${known}`);
  });
  const all = (key: string) => given.filter(([name]) => name === key).map(([, value]) => value);
  for (const key of keys) {
    if (key !== 'forward' && all(key).length > 1) {
      throw usageError(`--net ${kind}: ${key} is given twice; it can be given once`);
    }
  }
  const settings = {
    has: (key: string) => all(key).length > 0,
    one: (key: string) => all(key)[0],
    all,
  };
  return { open: opener(kind, settings, Number(mtu ?? 1500)), pcap: settings.one('pcap') };
}

function opener(kind: string, settings: Settings, mtu: number): () => Promise<NetBackend> {
  if (kind === 'user') {
    const options = userOptions(settings, mtu);
    return () => openUserNet(options);
  }
  const name = settings.one('name');
  if (kind === 'tap') {
    if (name === undefined || !/^[^\s/:]{1,15}$/.test(name)) {
      throw usageError(`--net tap: name: found "${name ?? ''}", wanted an interface such as tap0`);
    }
    return async () => openTap(name);
  }
  const isGoodName = name !== undefined && /^[\w.-]{1,32}$/.test(name);
  if (!isGoodName && (name !== undefined || !settings.has('path'))) {
    throw usageError(
      `--net switch: name: found "${name ?? ''}", wanted up to 32 letters and digits, or path=FILE`,
    );
  }
  const path = settings.one('path') ?? switchPath(name!);
  // What Linux lets a socket's name be. [unix(7)]
  if (Buffer.byteLength(path) > 107) {
    throw usageError(
      `--net switch: ${path} is longer than the 107 bytes that a socket's name may have`,
    );
  }
  return () => openSwitch(path);
}

function userOptions(settings: Settings, mtu: number): UserNetOptions {
  const address = (key: string, text: string, bytes = 4): Uint8Array => {
    const found = parseAddress(text);
    if (found?.length === bytes) return found;
    const example = bytes === 4 ? '10.0.2.2' : 'fec0::2';
    throw usageError(`--net user: ${key}: found "${text}", wanted an address such as ${example}`);
  };
  const isOn = (key: string, otherwise: string) => {
    const word = settings.one(key) ?? otherwise;
    if (word === 'on' || word === 'off') return word === 'on';
    throw usageError(`--net user: ${key}: found "${word}", wanted on or off`);
  };
  const [hostText = '', prefixText = '24'] = (settings.one('host') ?? '10.0.2.2').split('/');
  const host4 = address('host', hostText);
  const prefix4 = Number(prefixText);
  if (!/^\d+$/.test(prefixText) || prefix4 < 8 || prefix4 > 29) {
    throw usageError(`--net user: host: found "/${prefixText}", wanted a prefix from /8 to /29`);
  }
  /** An address of the same network, by what it ends in. */
  const near = (last: number) => {
    const bytes = host4.slice();
    const mask = 0xff << Math.max(0, 32 - prefix4);
    bytes[3] = (bytes[3]! & (prefix4 > 24 ? mask : 0)) | last;
    return bytes.join('.');
  };
  const own = (key: string, last: number) => {
    const found = address(key, settings.one(key) ?? near(last));
    if (isWithin(found, host4, prefix4) && !isSame(found, host4)) return found;
    throw usageError(
      `--net user: ${key}: found ${found.join('.')}, wanted another address of ${hostText}/${prefix4}`,
    );
  };
  const dns4 = own('dns', 3);
  const guest4 = own('guest', prefix4 > 27 ? 4 : 15);
  if (isSame(dns4, guest4)) throw usageError('--net user: guest and dns are the same address');
  const v6 = isOn('ipv6', 'on')
    ? {
        host: address('host6', settings.one('host6') ?? 'fec0::2', 16),
        dns: address('dns6', settings.one('dns6') ?? 'fec0::3', 16),
      }
    : undefined;
  if (v6 !== undefined && (!isWithin(v6.host, v6.dns, 64) || isSame(v6.host, v6.dns))) {
    throw usageError('--net user: dns6 is not another address of the /64 of host6');
  }
  const name = (key: 'hostname' | 'domain') => {
    const text = settings.one(key);
    if (text === undefined) return {};
    if (/^(?=.{1,250}$)[\w-]{1,63}(\.[\w-]{1,63})*$/.test(text)) return { [key]: text };
    throw usageError(`--net user: ${key}: found "${text}", wanted a name such as debian`);
  };
  const resolver = settings.one('resolver');
  return {
    ...{ host4, dns4, guest4, prefix4, v6, mtu },
    isRestricted: isOn('restrict', 'off'),
    ...name('hostname'),
    ...name('domain'),
    forwards: settings.all('forward').map((text) => parseForward(text, guest4)),
    ...(resolver === undefined ? {} : { resolver: parseResolver(resolver) }),
  };
}

const PORT = /^([1-9]\d{0,4})$/;
const isPort = (text: string) => PORT.test(text) && Number(text) < 65_536;

/** `ADDRESS[:PORT]`, an IPv6 address with a port in brackets. */
function parseResolver(text: string) {
  const [, bracketed, plain, port = '53'] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [
    undefined,
    undefined,
    text,
  ];
  const address = parseAddress(bracketed ?? plain ?? '');
  if (address !== undefined && isPort(port)) return { address, port: Number(port) };
  throw usageError(`--net user: resolver: found "${text}", wanted ADDRESS or ADDRESS:PORT`);
}

const FORWARD = /^(tcp|udp):(?:\[([^\]]+)\]|([^:]*)):(\d+):(?:(?:\[([^\]]+)\]|([^:]*)):)?(\d+)$/;

/** `tcp|udp:[HOST]:PORT:[GUEST:]PORT`, IPv6 addresses in brackets; no HOST: 127.0.0.1. */
function parseForward(text: string, guest4: Uint8Array): Forward {
  const [, protocol, host6, host4, hostPort = '', guest6, guestText, guestPort = ''] =
    FORWARD.exec(text) ?? [];
  const host = parseAddress(host6 ?? (host4 || '127.0.0.1'));
  const guestName = guest6 ?? guestText;
  const guest = guestName ? parseAddress(guestName) : guest4;
  if (host === undefined || guest === undefined || !isPort(hostPort) || !isPort(guestPort)) {
    throw usageError(
      `--net user: forward: found "${text}", wanted tcp|udp:HOST:PORT:[GUEST:]PORT, such as tcp:127.0.0.1:2222:22`,
    );
  }
  return {
    text,
    protocol: protocol as 'tcp' | 'udp',
    host: { address: host, port: Number(hostPort) },
    guest: { address: guest, port: Number(guestPort) },
  };
}
