import assert from 'node:assert/strict';

/** What one volume descriptor of an image leads to; names are as that descriptor's folders have them. */
export interface Volume {
  readonly label: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Names by Rock Ridge, empty where there are none. */
  readonly rockRidge: readonly string[];
}

const sectorBytes = 2048;

/** Reads what the standards say, with every number in both byte orders. [ECMA-119, RRIP 1.12, Joliet] */
export function readIso(image: Uint8Array): { primary: Volume; joliet: Volume } {
  const view = new DataView(image.buffer, image.byteOffset, image.length);
  const both32 = (at: number) => {
    const value = view.getUint32(at, true);
    assert.equal(view.getUint32(at + 4, false), value, `both byte orders at ${at}`);
    return value;
  };
  const text = (at: number, length: number, wide: boolean) =>
    wide
      ? String.fromCharCode(
          ...Array.from({ length: length >> 1 }, (_, i) => view.getUint16(at + 2 * i, false)),
        )
      : String.fromCharCode(...image.subarray(at, at + length));
  const volumes = new Map<number, Volume>();
  for (let sector = 16; ; sector++) {
    const at = sector * sectorBytes;
    assert.equal(text(at + 1, 5, false), 'CD001');
    const type = image[at]!;
    if (type === 255) break;
    const wide = type === 2;
    if (wide) assert.equal(text(at + 88, 3, false), '%/E', 'Joliet level 3');
    assert.equal(both32(at + 80) * sectorBytes, image.length);
    const root = at + 156;
    const table = view.getUint32(at + 140, true) * sectorBytes;
    assert.equal(
      view.getUint32(table + 2, true),
      both32(root + 2),
      'the path table’s root, little',
    );
    const bigTable = view.getUint32(at + 148, false) * sectorBytes;
    assert.equal(view.getUint32(bigTable + 2, false), both32(root + 2), 'and big');
    volumes.set(type, {
      label: text(at + 40, 32, wide).trimEnd(),
      ...readFolder(both32(root + 2) * sectorBytes, both32(root + 10), wide),
    });
  }
  return { primary: volumes.get(1)!, joliet: volumes.get(2)! };

  function readFolder(from: number, bytes: number, wide: boolean) {
    const files = new Map<string, Uint8Array>();
    const rockRidge: string[] = [];
    let last = '';
    for (let at = from; at < from + bytes && image[at] !== 0; at += image[at]!) {
      const nameLength = image[at + 32]!;
      assert.equal(image[at]! % 2, 0, 'records have an even length');
      if ((image[at + 25]! & 2) !== 0) continue;
      const name = text(at + 33, nameLength, wide);
      assert.ok(last < name, `${name} stands in order`);
      last = name;
      const data = both32(at + 2) * sectorBytes;
      files.set(name, image.subarray(data, data + both32(at + 10)));
      let field = at + 33 + nameLength + ((nameLength + 1) % 2);
      for (; field + 4 <= at + image[at]!; field += image[field + 2]!) {
        if (text(field, 2, false) !== 'NM') continue;
        rockRidge.push(text(field + 5, image[field + 2]! - 5, false));
      }
    }
    return { files, rockRidge };
  }
}
