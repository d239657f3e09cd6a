import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { CodecError, decode, encode } from '#src/base/codec.js';
import { type VcpuRecord, vcpuRecordCodec } from '#src/engine/records.js';
import { EngineRig, engines, kvm } from './engines.js';

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const segment = fc.record({
  selector: fc.nat(0xffff),
  base: fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }),
  limit: fc.nat(0xffff_ffff),
});

/** Edits of a record that any engine can represent: 16-bit protected mode, everything else wild. */
const edit = fc.record({
  gpr: fc.array(u64, { minLength: 16, maxLength: 16 }),
  // CF PF AF ZF SF TF IF DF OF IOPL NT AC ID.
  flags: fc.nat(0xffff_ffff).map((bits) => BigInt((bits & 0x0024_7fd5) | 2)),
  segments: fc.array(segment, { minLength: 8, maxLength: 8 }),
  xmm: fc.uint8Array({ minLength: 256, maxLength: 256 }),
  x87: fc.uint8Array({ minLength: 128, maxLength: 128 }),
  status: fc.nat(0xffff),
  tag: fc.nat(0xff),
  // A canonical address.
  lstar: u64.map((bits) => BigInt.asUintN(64, BigInt.asIntN(48, bits))),
  tscAux: fc.nat(0xffff_ffff),
  tsc: u64,
  cr2: u64,
  pending: fc.boolean(),
  shadow: fc.boolean(),
});

for (const { name, skip, open } of engines) {
  test(`${name}: a record that was set is the record that is got`, { skip }, async () => {
    const rig = new EngineRig(await open());
    const base = rig.vcpu.getRecord();
    fc.assert(
      fc.property(edit, (e) => {
        const record = structuredClone(base);
        record.registers.gpr = e.gpr;
        record.registers.rflags = e.flags;
        record.system.cr0 = 0x11n;
        record.system.cr2 = e.cr2;
        e.segments.forEach((one, i) => {
          Object.assign(record.system.segments[i]!, one);
        });
        record.xsave.set(e.xmm, 160);
        for (let i = 0; i < 8; i++) {
          record.xsave.set(e.x87.subarray(i * 16, i * 16 + 10), 32 + i * 16);
        }
        // ES and B follow from the other bits.
        new DataView(record.xsave.buffer).setUint16(2, e.status & 0x7f40, true);
        record.xsave[4] = e.tag;
        const msr = (index: number) => record.msrs.find((one) => one.index === index)!;
        msr(0xc000_0082).value = e.lstar;
        msr(0xc000_0103).value = BigInt(e.tscAux);
        msr(0x10).value = e.tsc;
        record.events.shadow = e.shadow;
        if (e.pending) {
          // An engine may write CR2 before it delivers the fault.
          record.system.cr2 = 0x1234n;
          record.events.exception = {
            pending: true,
            vector: 14,
            hasError: true,
            error: 2,
            kind: 0,
            address: 0x1234n,
          };
        }
        rig.vcpu.setRecord(record);
        const got = rig.vcpu.getRecord();
        if (name === 'kvm') {
          // It goes on: less than a second of it. KVM of the software kind always shows the host's.
          const tsc = got.msrs.find((one) => one.index === 0x10)!;
          if (kvm.kind === 'hardware') {
            assert.ok(BigInt.asUintN(64, tsc.value - e.tsc) < 10n ** 10n);
          }
          tsc.value = e.tsc;
        }
        assert.deepEqual(got, record);
      }),
      { numRuns: 200 },
    );
  });

  test(`${name}: an MSR that is not known is rejected`, { skip }, async () => {
    const rig = new EngineRig(await open());
    const record = rig.vcpu.getRecord();
    record.msrs.push({ index: 0xdead, value: 1n });
    assert.throws(() => rig.vcpu.setRecord(record), /msrs: found 0xdead/);
  });
}

test('the record’s codec brings it back, and names what is wrong', async () => {
  const rig = new EngineRig(await engines[0]!.open());
  const record: VcpuRecord = rig.vcpu.getRecord();
  const bytes = encode(vcpuRecordCodec, record);
  assert.deepEqual(decode(vcpuRecordCodec, bytes), record);
  assert.throws(
    () => decode(vcpuRecordCodec, bytes.subarray(0, 40), 'vcpu0'),
    (error: unknown) => error instanceof CodecError && error.field === 'vcpu0.registers.gpr[5]',
  );
  const bad = structuredClone(record);
  bad.events.activity = 9;
  assert.throws(() => decode(vcpuRecordCodec, encode(vcpuRecordCodec, bad)), /events\.activity/);
});
