import assert from 'node:assert/strict';
import test from 'node:test';
import { EngineError } from '../engine/engine.js';
import { openEngine, tryKvm } from './engines.js';
import { exitStatus } from './exit-status.js';
import { reportError } from './report-error.js';

const absent = '/no/such/kvm';

test('auto takes soft where there is no KVM, and says why', async () => {
  const said: string[] = [];
  const engine = await openEngine('auto', { kvmDevice: absent, say: (line) => said.push(line) });
  assert.equal(engine.name, 'soft');
  assert.equal(said.length, 1);
  assert.match(said[0]!, /^engine soft: KVM cannot be had: \/no\/such\/kvm is not there/);
});

test('kvm that cannot be had is one sentence that says why and what helps, with status 69', async (t) => {
  const written = t.mock.method(process.stderr, 'write', () => true);
  const error = await openEngine('kvm', { kvmDevice: absent }).catch((reason) => reason);
  assert.ok(error instanceof EngineError);
  assert.equal(error.code, 'unavailable');
  assert.match(error.message, /^--engine kvm: \/no\/such\/kvm is not there.*chassis doctor/);
  assert.equal(reportError(error), exitStatus.engineMissing);
  assert.equal(written.mock.callCount(), 1);
});

test('a file that is not KVM’s is refused by name', async () => {
  const { engine, report } = await tryKvm('/dev/null');
  assert.equal(engine, undefined);
  assert.equal(report.usable, false);
  assert.match(report.problem!, /\/dev\/null/);
});
