/** One file of a volume, in its only folder. */
export interface IsoFile {
  readonly name: string;
  readonly data: Uint8Array;
}

const sectorBytes = 2048;
/** Sectors 0 to 15 belong to the system [ECMA-119 6.2.1]; what follows stands at fixed places. */
const place = { primary: 16, joliet: 17, end: 18, tables: 19, roots: 23, files: 25 } as const;
/** Folders of one sector are all that a seed needs. */
const fullFolder = 'an ISO volume of ours has one folder of 2048 bytes';

/** A number in both byte orders [ECMA-119 7.2.3, 7.3.3]. */
function both(bytes: 2 | 4, value: number): number[] {
  const little = Array.from({ length: bytes }, (_, i) => (value >>> (8 * i)) & 0xff);
  return [...little, ...little.toReversed()];
}

const ascii = (text: string) => [...text].map((char) => char.charCodeAt(0));
const padded = (text: string, length: number) => ascii(text.padEnd(length).slice(0, length));
const ucs2 = (text: string) =>
  [...Array(text.length).keys()].flatMap((i) => [
    text.charCodeAt(i) >> 8,
    text.charCodeAt(i) & 0xff,
  ]);

/** Seven bytes, in UTC [ECMA-119 9.1.5]. */
const recordDate = (date: Date) => [
  date.getUTCFullYear() - 1900,
  date.getUTCMonth() + 1,
  date.getUTCDate(),
  date.getUTCHours(),
  date.getUTCMinutes(),
  date.getUTCSeconds(),
  0,
];

/** Seventeen bytes: digits to hundredths of a second, and the zone [ECMA-119 8.4.26.1]. */
const volumeDate = (date: Date) => [
  ...ascii(date.toISOString().replace(/\D/g, '').slice(0, 16)),
  0,
];
const noDate = [...ascii('0'.repeat(16)), 0];

/** A Rock Ridge or SUSP field: signature, length, version 1 [SUSP 1.12 4]. */
const field = (signature: string, data: number[]) => [
  ...ascii(signature),
  data.length + 4,
  1,
  ...data,
];
/** Mode, links, user and group [RRIP 1.12 4.1.1, in the form of 1.09]. */
const posix = (mode: number, links: number) =>
  field(
    'PX',
    [mode, links, 0, 0].flatMap((value) => both(4, value)),
  );
const rockRidge = [
  // SUSP is in use from the first byte on, and the fields are those of RRIP [SUSP 1.12 5.3, 5.5].
  ...field('SP', [0xbe, 0xef, 0]),
  ...field('ER', [10, 0, 0, 1, ...ascii('RRIP_1991A')]),
];
const folderMode = 0o040555;
const fileMode = 0o100444;

interface Extent {
  readonly sector: number;
  readonly bytes: number;
}

/** A record of a folder [ECMA-119 9.1]. */
function record(
  name: number[],
  extent: Extent,
  date: Date,
  isFolder: boolean,
  fields: number[],
): number[] {
  const padding = name.length % 2 === 0 ? [0] : [];
  const used = 33 + name.length + padding.length + fields.length;
  return [
    used + (used % 2),
    0,
    ...both(4, extent.sector),
    ...both(4, extent.bytes),
    ...recordDate(date),
    isFolder ? 2 : 0,
    0,
    0,
    ...both(2, 1),
    name.length,
    ...name,
    ...padding,
    ...fields,
    ...(used % 2 === 0 ? [] : [0]),
  ];
}

/** A primary or supplementary descriptor [ECMA-119 8.4, 8.5]. */
function descriptor(
  type: 1 | 2,
  label: string,
  sectors: number,
  root: number[],
  date: Date,
): number[] {
  const text = type === 1 ? padded : (each: string, length: number) => jolietText(each, length);
  const table = place.tables + (type === 1 ? 0 : 2);
  // UCS-2 level 3, which is what makes it Joliet's.
  const escapes = type === 1 ? [] : ascii('%/E');
  return [
    type,
    ...ascii('CD001'),
    1,
    0,
    ...text('', 32),
    ...text(label, 32),
    ...Array(8).fill(0),
    ...both(4, sectors),
    ...escapes,
    ...Array(32 - escapes.length).fill(0),
    ...both(2, 1),
    ...both(2, 1),
    ...both(2, sectorBytes),
    ...both(4, 10),
    ...both(4, table).slice(0, 4),
    ...Array(4).fill(0),
    ...both(4, table + 1).slice(4),
    ...Array(4).fill(0),
    ...root,
    ...text('', 128),
    ...text('', 128),
    ...text('', 128),
    ...text('CHASSIS', 128),
    ...text('', 37),
    ...text('', 37),
    ...text('', 37),
    ...volumeDate(date),
    ...volumeDate(date),
    ...noDate,
    ...noDate,
    1,
  ];
}

/** Blanks in UCS-2; a field of odd length ends with a zero. */
const jolietText = (text: string, length: number) =>
  [...ucs2(text.padEnd(length >> 1).slice(0, length >> 1)), 0].slice(0, length);

/** What ISO 9660 allows in a name; Rock Ridge and Joliet have the true one. */
const plainName = (name: string) => `${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}.;1`;

/**
 * A volume of ISO 9660 with Rock Ridge and Joliet: files in one folder under their own names, each
 * readable by everybody. Names are of the basic multilingual plane, at most 30 characters.
 */
export function isoVolume(label: string, files: readonly IsoFile[], date: Date): Uint8Array {
  let sector: number = place.files;
  const placed = files.map(({ name, data }) => {
    const extent = { sector, bytes: data.length };
    sector += Math.ceil(data.length / sectorBytes);
    return { name, data, extent };
  });
  const bytes = new Uint8Array(sector * sectorBytes);
  const put = (at: number, data: ArrayLike<number>) => bytes.set(data, at * sectorBytes);
  const volumes = [
    { type: 1, encode: (name: string) => ascii(plainName(name)), rock: true },
    { type: 2, encode: ucs2, rock: false },
  ] as const;
  volumes.forEach(({ type, encode, rock }, i) => {
    const extent = { sector: place.roots + i, bytes: sectorBytes };
    const fields = (data: number[]) => (rock ? data : []);
    const records = placed
      .map((file) => ({ ...file, code: encode(file.name) }))
      .sort((a, b) => (String.fromCharCode(...a.code) < String.fromCharCode(...b.code) ? -1 : 1))
      .flatMap((file) =>
        record(
          file.code,
          file.extent,
          date,
          false,
          fields([...posix(fileMode, 1), ...field('NM', [0, ...ascii(file.name)])]),
        ),
      );
    const self = fields([...rockRidge, ...posix(folderMode, 2)]);
    const folder = [
      ...record([0], extent, date, true, self),
      ...record([1], extent, date, true, fields(posix(folderMode, 2))),
      ...records,
    ];
    if (folder.length > sectorBytes) throw new RangeError(fullFolder);
    put(extent.sector, folder);
    const root = record([0], extent, date, true, []);
    put(place.primary + i, descriptor(type, label, sector, root, date));
    // One entry for the root, in either byte order [ECMA-119 9.4].
    const [little, big] = [both(4, extent.sector).slice(0, 4), both(4, extent.sector).slice(4)];
    put(place.tables + 2 * i, [1, 0, ...little, 1, 0, 0, 0]);
    put(place.tables + 2 * i + 1, [1, 0, ...big, 0, 1, 0, 0]);
  });
  put(place.end, [255, ...ascii('CD001'), 1]);
  for (const { data, extent } of placed) put(extent.sector, data);
  return bytes;
}
