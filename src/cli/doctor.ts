import { describeFlags, type FlagTable, parseArgs } from './args.js';
import { hostFacts } from './doctor-host.js';
import { type DoctorReport, diagnose } from './doctor-report.js';
import { exitStatus, usageError } from './exit-status.js';
import type { Verb } from './verb.js';
import { packageManifest } from './version.js';

const flags: FlagTable = { json: { help: 'as JSON, for programs' } };

export const doctor: Verb = {
  summary: 'say what this host can do, and how to mend what is missing',
  usage: () =>
    `usage: chassis doctor [flags]\n\n${describeFlags(flags)}\n` +
    'Example:\n' +
    '  chassis doctor --json\n\n' +
    'Ends with 0 when an engine works here, 69 when none does.\n',
  async run(argv) {
    const args = parseArgs(argv, flags);
    if (args.positional.length > 0) {
      throw usageError(`found "${args.positional[0]}", wanted flags only`);
    }
    const host = await hostFacts();
    const report = diagnose(host);
    const { version } = packageManifest();
    process.stdout.write(
      args.has('json')
        ? `${JSON.stringify({ version, ...report, host }, null, 2)}\n`
        : `chassis ${version}\n\n${describe(report)}`,
    );
    const works = Object.values(report.engines).some((engine) => engine.works);
    return works ? exitStatus.ok : exitStatus.engineMissing;
  },
};

/** A line for each engine and each finding, and under what could be better how to mend it. */
function describe({ engines, auto, findings, capabilities }: DoctorReport): string {
  const lines = ['engines'];
  for (const [name, { why }] of Object.entries(engines)) lines.push(`  ${name.padEnd(6)}${why}`);
  // Why there is no kvm stands a line above already.
  const why = engines.kvm.works ? auto.why : 'kvm does not work';
  lines.push(`  auto  takes ${auto.engine}: ${why}`, '', 'this host');
  const width = Math.max(...findings.map(({ name }) => name.length)) + 2;
  for (const { status, name, found, fix } of findings) {
    lines.push(`  ${status.padEnd(9)}${name.padEnd(width)}${found}`);
    if (fix !== undefined) lines.push(`${' '.repeat(11 + width)}to mend it: ${fix}`);
  }
  const known = Object.entries(capabilities);
  if (known.length > 0) lines.push('', 'KVM’s capabilities, and what KVM answered');
  for (const [name, value] of known) lines.push(`  ${name.padEnd(20)}${value || 'not there'}`);
  return `${lines.join('\n')}\n`;
}
