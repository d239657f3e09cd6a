/**
 * The "newc" cpio archive that Linux takes as an initramfs
 * [Linux Documentation/driver-api/early-userspace/buffer-format.rst].
 */

const kinds = { directory: 0o040000, file: 0o100000, link: 0o120000, device: 0o020000 };

/**
 * Entries are `{ path, kind, mode, data?, major?, minor? }`; a link's data is its target. The same
 * entries give the same bytes: times and owners are zero.
 */
export function cpioArchive(entries) {
  const parts = [];
  for (const [index, entry] of entries.entries()) {
    const data = Buffer.from(entry.data ?? '');
    parts.push(...member(entry.path, index + 1, kinds[entry.kind] | entry.mode, data, entry));
  }
  parts.push(...member('TRAILER!!!', 0, 0, Buffer.alloc(0), {}));
  return Buffer.concat(parts);
}

function member(path, inode, mode, data, { kind, major = 0, minor = 0 }) {
  const name = Buffer.from(`${path}\0`);
  const fields = [
    inode,
    mode,
    0, // uid
    0, // gid
    kind === 'directory' ? 2 : 1, // links
    0, // time of change
    data.length,
    0, // major and minor of the file system it came from
    0,
    major,
    minor,
    name.length,
    0, // check sum: only in the "crc" kind
  ];
  const header = `070701${fields.map((n) => n.toString(16).toUpperCase().padStart(8, '0')).join('')}`;
  return [
    Buffer.from(header),
    name,
    Buffer.alloc(-(header.length + name.length) & 3),
    data,
    Buffer.alloc(-data.length & 3),
  ];
}
