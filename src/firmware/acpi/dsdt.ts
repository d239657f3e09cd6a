/** The DSDT: PCI root, interrupt links, ISA devices, soft-off. */
import { concat } from '../bytes.js';
import {
  and,
  aPackage,
  arg0,
  byteFields,
  call,
  createDWordField,
  device,
  eisaId,
  giveBack,
  ifThen,
  integer,
  lessThan,
  method,
  name,
  or,
  otherwise,
  pciConfigRegion,
  nameString as ref,
  scope,
  store,
  string,
  type Term,
} from './aml.js';
import { type AcpiBoard, IOAPIC_BASE, PCI_ISA_IRQS, SCI_IRQ, virtioMmio } from './board.js';
import {
  busNumbers,
  fixedMemory,
  INTERRUPT_NUMBER_OFFSET,
  ioPorts,
  ioWindow,
  isaIrq,
  levelInterrupts,
  memoryWindow,
  resourceTemplate,
} from './resources.js';

/** The AML that follows the DSDT's table header. */
export function dsdtBody(board: AcpiBoard): Uint8Array {
  return concat(
    // _PIC tells which interrupt controllers the system uses: 0 the 8259s, 1 the APICs. [5.8.1]
    name('\\PICF', 0),
    method('\\_PIC', 1, [store(arg0, ref('\\PICF'))]),
    scope(
      '\\_SB',
      pciRoot(board),
      ...interruptLinks(),
      ...processors(board.cpus),
      ...virtioDevices(board.mmioDevices ?? 0),
    ),
    // SLP_TYP 0 is soft-off in PIIX4's PMCNTRL. [PIIX4 7.2.3]
    name('\\_S5', aPackage(0, 0, 0, 0)),
  );
}

function pciRoot(board: AcpiBoard): Uint8Array {
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_UID', 0),
    name(
      '_CRS',
      resourceTemplate(
        busNumbers(0, 0xff),
        ioPorts(0xcf8, 8),
        ioWindow(0, 0xcf7),
        ioWindow(0xd00, 0xffff),
        memoryWindow(0xa_0000, 0xb_ffff, true),
        memoryWindow(board.ram.below4G, IOAPIC_BASE - 1),
      ),
    ),
    ...pciRouting(board),
    isaBridge(board.serialPorts),
  );
}

const LINKS = ['LNKA', 'LNKB', 'LNKC', 'LNKD'] as const;

/** _PRT: slot s, pin p leads to PIRQ (s - 1 + p) mod 4, as the 440FX boards are wired. [6.2.13] */
function pciRouting({ pirqGsiBase }: AcpiBoard): Uint8Array[] {
  const route = (target: (pirq: number) => Term[]): Uint8Array => {
    const entries: Uint8Array[] = [];
    for (let slot = 1; slot < 32; slot++) {
      for (let pin = 0; pin < 4; pin++) {
        // PIIX4's power management function raises the SCI on pin A and does not use the router.
        const sci = slot === 1 && pin === 0;
        const to = sci ? [ref('\\_SB.LNKS'), 0] : target((slot - 1 + pin) & 3);
        entries.push(aPackage(((slot << 16) | 0xffff) >>> 0, pin, ...to));
      }
    }
    return aPackage(...entries);
  };
  const throughLinks = route((pirq) => [ref(`\\_SB.${LINKS[pirq]}`), 0]);
  if (pirqGsiBase === undefined) return [name('_PRT', throughLinks)];
  return [
    name('PRTP', throughLinks),
    name(
      'PRTA',
      route((pirq) => [0, pirqGsiBase + pirq]),
    ),
    method('_PRT', 0, [
      ifThen(ref('\\PICF'), giveBack(ref('PRTA'))),
      otherwise(giveBack(ref('PRTP'))),
    ]),
  ];
}

const PIRQ_FIELDS = ['PRQ0', 'PRQ1', 'PRQ2', 'PRQ3'] as const;

/** The PIIX3 ISA bridge, device 1 function 0, with PIRQRC[A:D] and what sits behind it. */
function isaBridge(serialPorts: number): Uint8Array {
  const isaDevice = (id: string, hid: string, irq: number, ...ports: [number, number][]) =>
    device(
      id,
      name('_HID', eisaId(hid)),
      name('_CRS', resourceTemplate(...ports.map((range) => ioPorts(...range)), isaIrq(irq))),
    );
  const serial = (id: string, uid: number, base: number, irq: number) =>
    device(
      id,
      name('_HID', eisaId('PNP0501')),
      name('_UID', uid),
      name('_CRS', resourceTemplate(ioPorts(base, 8), isaIrq(irq))),
    );
  return device(
    'ISA',
    name('_ADR', 0x0001_0000),
    pciConfigRegion('PIRQ', 0x60, 4),
    byteFields('PIRQ', PIRQ_FIELDS),
    isaDevice('RTC', 'PNP0B00', 8, [0x70, 2]),
    isaDevice('TIMR', 'PNP0100', 0, [0x40, 4]),
    isaDevice('KBD', 'PNP0303', 1, [0x60, 1], [0x64, 1]),
    // The mouse's port, with nothing in it: Linux warns of a controller without one.
    isaDevice('MOU', 'PNP0F13', 12),
    ...[serial('COM1', 1, 0x3f8, 4), serial('COM2', 2, 0x2f8, 3)].slice(0, serialPorts),
  );
}

const PIRQ_DISABLED = 0x80;
const STA_PRESENT_DISABLED = 0x09;
const STA_PRESENT_ENABLED = 0x0b;

/** The four interrupt link devices over PIIX3's PIRQ route control registers. [PIIX3 2.2.10] */
function interruptLinks(): Uint8Array[] {
  const number = INTERRUPT_NUMBER_OFFSET;
  const status = method('IQST', 1, [
    ifThen(and(arg0, PIRQ_DISABLED), giveBack(STA_PRESENT_DISABLED)),
    giveBack(STA_PRESENT_ENABLED),
  ]);
  const current = method(
    'IQCR',
    1,
    [
      name('PRR0', resourceTemplate(levelInterrupts(0))),
      createDWordField(ref('PRR0'), number, 'PRRI'),
      ifThen(lessThan(arg0, PIRQ_DISABLED), store(arg0, ref('PRRI'))),
      giveBack(ref('PRR0')),
    ],
    true,
  );
  const links = LINKS.map((link, i) => {
    const register = ref(`\\_SB.PCI0.ISA.${PIRQ_FIELDS[i]}`);
    return device(
      link,
      name('_HID', eisaId('PNP0C0F')),
      name('_UID', i),
      name('_PRS', resourceTemplate(levelInterrupts(...PCI_ISA_IRQS))),
      method('_STA', 0, [giveBack(call('IQST', register))]),
      method('_DIS', 0, [or(register, PIRQ_DISABLED, register)]),
      method('_CRS', 0, [giveBack(call('IQCR', register))]),
      method(
        '_SRS',
        1,
        [createDWordField(arg0, number, 'PRRI'), store(ref('PRRI'), register)],
        true,
      ),
    );
  });
  const sci = resourceTemplate(levelInterrupts(SCI_IRQ));
  return [
    status,
    current,
    ...links,
    device(
      'LNKS',
      name('_HID', eisaId('PNP0C0F')),
      name('_UID', LINKS.length),
      name('_PRS', sci),
      name('_CRS', sci),
      method('_STA', 0, [giveBack(STA_PRESENT_ENABLED)]),
      method('_DIS', 0, []),
      method('_SRS', 1, []),
    ),
  ];
}

/** One processor device per local APIC of the MADT, matched by _UID. [8.4] */
function processors(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) =>
    device(
      `C${i.toString(16).toUpperCase().padStart(3, '0')}`,
      name('_HID', string('ACPI0007')),
      name('_UID', integer(i)),
    ),
  );
}

/** Virtio devices over MMIO, as Linux looks for them. */
function virtioDevices(count: number): Uint8Array[] {
  const { base, sizeBytes, gsi } = virtioMmio;
  return Array.from({ length: count }, (_, i) =>
    device(
      `VIR${i}`,
      name('_HID', string('LNRO0005')),
      name('_UID', i),
      name(
        '_CRS',
        resourceTemplate(fixedMemory(base + i * sizeBytes, sizeBytes), levelInterrupts(gsi + i)),
      ),
    ),
  );
}
