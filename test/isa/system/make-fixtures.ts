/**
 * node dist/test/isa/system/make-fixtures.js [PROGRAM...]: assembles the programs of this folder, runs
 * them under QEMU and Bochs, and writes images and transcripts into fixtures/. Says where the two
 * references disagree without an exception in programs.ts.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type SystemProgram, systemPrograms } from './programs.js';
import { assemble, fixtureFolder, runBochs, runQemu, sourceDigest } from './reference.js';
import { byName, differences, isExcepted } from './transcript.js';

const digestFile = join(fixtureFolder, 'sources.json');

function truth(program: SystemProgram, image: Uint8Array): string {
  const bochs = runBochs(image);
  const base = program.qemu ? runQemu(image) : bochs;
  const given = new Map(program.exceptions.flatMap(({ says }) => Object.entries(says ?? {})));
  const bochsLines = byName(bochs);
  if (program.qemu) {
    for (const difference of differences(base, bochs)) {
      const [name] = difference.split('\n');
      if (!isExcepted(program, name!))
        console.log(`${program.name}: QEMU and Bochs: ${difference}`);
    }
  }
  const lines = [...byName(base)].map(([name, text]) => {
    const right = isExcepted(program, name) ? (given.get(name) ?? bochsLines.get(name)) : text;
    const plain = name.replace(/ \(\d+\)$/, '');
    return right === '' ? `${plain}:` : `${plain}: ${right}`;
  });
  return `${lines.join('\n')}\n`;
}

mkdirSync(fixtureFolder, { recursive: true });
let digests: Record<string, string> = {};
try {
  digests = JSON.parse(readFileSync(digestFile, 'utf8'));
} catch {
  console.log('no fixtures yet');
}
const wanted = process.argv.slice(2);
for (const program of systemPrograms) {
  if (wanted.length > 0 && !wanted.includes(program.name)) continue;
  const image = assemble(program);
  writeFileSync(join(fixtureFolder, `${program.name}.img.gz`), gzipSync(image, { level: 9 }));
  writeFileSync(join(fixtureFolder, `${program.name}.txt`), truth(program, image));
  digests[program.name] = sourceDigest(program);
}
writeFileSync(digestFile, `${JSON.stringify(digests, null, 2)}\n`);
