/**
 * What VIRTIO 1.3 says that a device MUST do, section by section, in our own words. A test says which of
 * these it checks by a comment before it: `// requirement: 2.1.2-1 2.4.1-1`. Requirements of features
 * that no device here offers say so instead.
 */
export interface Requirement {
  /** Section, and which of its sentences. */
  readonly id: string;
  readonly must: string;
  /** Why there is nothing to check. */
  readonly none?: string;
}

export interface Section {
  readonly number: string;
  readonly title: string;
  readonly requirements: readonly Requirement[];
}

type Sentence = string | readonly [must: string, none: string];

function section(number: string, title: string, ...sentences: Sentence[]): Section {
  return {
    number,
    title,
    requirements: sentences.map((sentence, index) => {
      const id = `${number}-${index + 1}`;
      if (typeof sentence === 'string') return { id, must: sentence };
      return { id, must: sentence[0], none: sentence[1] };
    }),
  };
}

const zoned = 'ZONED is not offered';
const rss = 'RSS is not offered';
const hash = 'HASH_REPORT is not offered';
const coalescing = 'NOTF_COAL is not offered';

export const sections: readonly Section[] = [
  section(
    '2.1.2',
    'Device status field',
    'status is 0 after a reset',
    'no buffer is consumed and no notification sent before DRIVER_OK',
    'DEVICE_NEEDS_RESET set while DRIVER_OK is set comes with a configuration change notification',
  ),
  section(
    '2.2.2',
    'Feature bits',
    'no feature is offered without the features it requires',
    'FEATURES_OK stays clear for a subset of features that is not accepted',
    'no bit is offered that would not be supported, reserved and undefined bits among them',
  ),
  section(
    '2.4.1',
    'Device reset',
    'status becomes 0 when a reset was asked for',
    'no notification and no access to queues after a reset is complete, until the driver starts anew',
  ),
  section(
    '2.5.2',
    'Device configuration space',
    'every configuration field can be read before FEATURES_OK',
  ),
  section(
    '2.6.1.1.1',
    'Virtqueue reset',
    'a queue that was reset executes no request and notifies of none',
    'all state of a queue goes back to its default',
  ),
  section(
    '2.6.1.2.1',
    'Virtqueue re-enable',
    'registers that the driver changed before it enabled the queue again count',
  ),
  section(
    '2.7.2',
    'Legacy interfaces: virtqueue layout',
    'descriptors, available ring, padding to a page, used ring',
  ),
  section('2.7.4.1', 'Message framing', 'the arrangement of descriptors means nothing'),
  section('2.7.5.1', 'Descriptor table', 'device-readable buffers are not written'),
  section(
    '2.7.5.3.2',
    'Indirect descriptors',
    'the write flag of a descriptor that refers to a table is ignored',
    'normal descriptors may come before one that refers to a table',
  ),
  section(
    '2.7.7.2',
    'Used buffer notification suppression',
    'used_event is ignored without EVENT_IDX',
    'with flags 0 and without EVENT_IDX a notification is sent',
    'the lower bit of flags is ignored with EVENT_IDX',
    'with EVENT_IDX a notification is sent when the used index passes used_event',
  ),
  section(
    '2.7.8.2',
    'Used ring',
    'the length is written before the used index',
    'at least that many bytes are written, from the start of the writable part on',
  ),
  section(
    '2.7.10.2',
    'Available buffer notification suppression',
    'flags of the used ring are 0 or 1 without EVENT_IDX',
    'flags of the used ring are 0 with EVENT_IDX',
    'spurious notifications are handled',
  ),
  section(
    '2.8.12',
    'Packed virtqueues',
    'descriptors are processed in the order of the ring',
    'used descriptors are written in the order of completion',
  ),
  section(
    '2.8.15',
    'Packed virtqueues: descriptor table',
    'device-readable buffers are not written',
    'a descriptor is used only once its AVAIL bit is seen to have changed',
    'a descriptor is not changed after its USED bit was',
  ),
  section(
    '2.8.18',
    'Packed virtqueues: scatter-gather',
    'chained descriptors are used in the order of the chain',
  ),
  section('2.10.2', 'Shared memory regions', [
    'regions are not exposed that are not described',
    'no device here has shared memory',
  ]),
  section(
    '3.1.2',
    'Legacy interface: device initialization',
    'configuration fields may be written before features are read',
    'the device may be used before DRIVER_OK',
  ),
  section('4.1.1', 'PCI bus', 'the function meets the PCI specification'),
  section(
    '4.1.2.1',
    'PCI device discovery',
    'the vendor id is 0x1AF4',
    'the device id is 0x1040 and the type, or the transitional one',
  ),
  section(
    '4.1.2.3',
    'Legacy interfaces: PCI device discovery',
    'transitional devices have revision 0',
    'and the type as subsystem device id',
    'and a device id from 0x1000 to 0x103f',
  ),
  section(
    '4.1.3.2',
    'PCI device layout',
    'parts of wide configuration fields are accessed by themselves',
    'halves of 64-bit fields are accessed by themselves',
  ),
  section(
    '4.1.4.2',
    'Structure capabilities',
    'the length of a capability includes what follows its common part',
  ),
  section(
    '4.1.4.3.1',
    'Common configuration structure',
    'its offset is a multiple of 4',
    'there is a capability for it',
    'device_feature shows the bits of the selected word, 0 for words without any',
    'driver_feature shows the valid bits that the driver wrote',
    'config_generation differs after a changed value was read',
    'writing 0 to device_status resets, and it reads 0 then',
    'queue_enable is 0 after a reset',
    'queue_reset is 0 after a reset',
    'queue_reset is 0 after the queue was enabled',
    'writing 1 to queue_reset resets the queue; then it and queue_enable are 0',
    'queue_size is 0 for a queue that is not there',
    'queue_size is 0 or a power of two without RING_PACKED',
    ['admin queue indices fit', 'ADMIN_VQ is not offered'],
  ),
  section(
    '4.1.4.4.1',
    'Notification capability',
    'a notification for any queue is possible at any time',
    'there is a capability for it',
    'its offset is a multiple of 4 (NOTIFICATION_DATA is offered)',
    'the multiplier is a power of two and a multiple of 4',
    'its length has room for 4 bytes at the place of every queue',
  ),
  section(
    '4.1.4.5.1',
    'ISR status capability',
    'there is a capability for it',
    'the configuration bit is set before a configuration change is notified of',
    'the queue bit is set before INTx for a queue',
    'the interrupt bit of the PCI status register is the OR of the bits, without MSI-X',
    'reading it makes it 0',
  ),
  section('4.1.4.6.1', 'Device-specific configuration', 'its offset is a multiple of 4'),
  section(
    '4.1.4.7.1',
    'Shared memory capability',
    ['regions are inside their BAR', 'no device here has shared memory'],
    ['ids are unique', 'no device here has shared memory'],
  ),
  section(
    '4.1.4.8.1',
    'Vendor data capability',
    ['the vendor is another than 0x1AF4', 'there is no vendor data'],
    ['its size is a multiple of 4', 'there is no vendor data'],
    ['reads have no side effects', 'there is no vendor data'],
  ),
  section(
    '4.1.4.9.1',
    'PCI configuration access capability',
    'there is a capability for it',
    'a write to its data is a write of that length to that place of that BAR',
    'a read of its data is a read of that length there',
  ),
  section(
    '4.1.4.10',
    'Legacy interfaces: PCI device layout',
    'the legacy structure is in BAR 0, in I/O space',
    'the configuration follows the header, and accesses of any width see the same',
    'features 32 to 63 count as not accepted',
  ),
  section(
    '4.1.5.1.2.1',
    'MSI-X vector configuration',
    'the table size is the number of vectors',
    'any event can be mapped to any vector',
    'any event can be unmapped',
    'the mapped vector reads back, or NO_VECTOR',
    'all events are unmapped after a reset',
    'a mapping that failed reads back as NO_VECTOR',
  ),
  section(
    '4.1.5.3.1',
    'Used buffer notifications',
    'with MSI-X a queue without a vector interrupts nobody',
  ),
  section(
    '4.1.5.4.1',
    'Notification of device configuration changes',
    'with MSI-X and no vector for it a change interrupts nobody',
  ),
  section(
    '4.2.2.1',
    'MMIO register layout',
    'MagicValue is 0x74726976',
    'Version is 2',
    'an event is shown in InterruptStatus until it is acknowledged, and nothing else is',
    'a reset clears InterruptStatus and all QueueReady',
    'ConfigGeneration changes where a driver could see half a change',
    'a queue is not accessed while QueueReady is 0',
    'QueueReset is 0 after a reset',
    'QueueReset is 0 after the queue was enabled',
    'writing 1 to QueueReset resets the queue; then it and QueueReady are 0',
  ),
  section(
    '5.1.4.1',
    'Network: configuration layout',
    'max_virtqueue_pairs is 1 to 0x8000',
    'mtu is 68 to 65535',
    'mtu does not change',
    'frames beyond the MTU are not passed to the driver',
    'frames of up to the MTU are forwarded whole',
    ['rss_max_key_size is at least 40', rss],
    ['rss_max_indirection_table_length is at least 128', rss],
    ['speed is a speed', 'SPEED_DUPLEX is not offered'],
    ['duplex is 0, 1 or unknown', 'SPEED_DUPLEX is not offered'],
  ),
  section(
    '5.1.6.2.2',
    'Network: packet transmission',
    'unknown bits of flags are ignored',
    'csum_start and csum_offset are not used without NEEDS_CSUM',
    'hdr_len is not relied on',
    'the checksum is not relied on without NEEDS_CSUM',
  ),
  section(
    '5.1.6.3.2',
    'Network: setting up receive buffers',
    'num_buffers is the number of buffers that hold the packet',
    'one buffer is used without MRG_RXBUF',
  ),
  section(
    '5.1.6.4.1',
    'Network: processing of incoming packets',
    'num_buffers is 1 without MRG_RXBUF',
    'num_buffers is the number of buffers with it',
    'all buffers but the last are full',
    'the buffers of a packet are used together',
    'flags are 0 without GUEST_CSUM',
    'gso_type is TCPV4 with GUEST_TSO4 only',
    ['gso_type is UDP with GUEST_UFO only', 'GUEST_UFO is not offered; no such frame comes in'],
    'gso_type is TCPV6 with GUEST_TSO6 only',
    'gso_type is UDP_L4 with GUEST_USO4 or GUEST_USO6 only',
    'the ECN bit is passed with GUEST_ECN',
    'with NEEDS_CSUM the fields say how the checksum is to be completed',
    'gso_type is NONE without any of these features',
    'with a gso_type NEEDS_CSUM and gso_size are set',
    ['RSC_INFO is set', 'RSC_EXT is not offered'],
    'RSC_INFO is not set without RSC_EXT',
    'DATA_VALID is set for validated checksums only',
    ['hash calculation can be configured', hash],
  ),
  section(
    '5.1.6.5.1.1',
    'Network: packet receive filtering',
    'PROMISC and ALLMULTI are supported with CTRL_RX',
    'ALLUNI, NOMULTI, NOUNI and NOBCAST are supported with CTRL_RX_EXTRA',
  ),
  section(
    '5.1.6.5.2.1',
    'Network: MAC address filtering',
    'the table is empty after a reset',
    'the table is updated before the command is used',
    'mac in the configuration is updated before the command is used',
  ),
  section(
    '5.1.6.5.3.1',
    'Network: VLAN filtering',
    'all tagged packets are accepted without CTRL_VLAN',
    'tagged packets of VLANs in the table are accepted with it',
  ),
  section(
    '5.1.6.5.4.2',
    'Network: gratuitous packet sending',
    'ANNOUNCE in status is cleared before the acknowledgement is used',
  ),
  section(
    '5.1.6.5.6.2',
    'Network: automatic receive steering',
    'only the first receive queue is used after a reset',
    'queues beyond those asked for are not used',
    'a packet is dropped while all receive queues are being reset',
    'receive steering follows the flows that the driver sends',
  ),
  section('5.1.6.5.7', 'Network: receive-side scaling', ['the hash chooses the queue', rss]),
  section('5.1.6.5.9', 'Network: notifications coalescing', [
    'commands are answered and parameters kept as described',
    coalescing,
  ]),
  section(
    '5.2.5.2',
    'Block: device initialization',
    'FLUSH is offered where CONFIG_WCE is',
    'writeback starts as 0 with CONFIG_WCE and without FLUSH',
    'unused bytes are 0',
    ['ZONED is not offered to legacy drivers', zoned],
    ['the zoned model is set, and fields agree with it', zoned],
  ),
  section(
    '5.2.6.2',
    'Block: device operation',
    'a write to a read-only disk gives IOERR and writes nothing',
    'unknown flags in discard and write-zeroes give UNSUPP',
    'unmap in discard gives UNSUPP',
    'ranges read as zeroes after write-zeroes, unmap or not',
    'stable writes are committed before the completion of the write or the flush is reported',
    ['LIFETIME is not offered without such metrics', 'LIFETIME is not offered'],
    'zone requests give UNSUPP without ZONED',
    ['zones behave as described', zoned],
  ),
  section(
    '5.3.5.1',
    'Console: device initialization',
    'emerg_wr can be written even before the device is set up',
  ),
  section(
    '5.3.6.2.1',
    'Console: multiport device operation',
    'no port is added that is there, or beyond max_nr_ports',
    ['no port is removed that is not there', 'ports are not removed'],
  ),
  section(
    '5.4.6.2',
    'Entropy: device operation',
    'one or more random bytes are placed into each buffer',
  ),
  section(
    '6.2',
    'Reserved feature bits',
    'VERSION_1 is offered',
    'buffers are used in the order of availability with IN_ORDER',
    'SR_IOV is not offered without its capability',
  ),
  section(
    '6.3',
    'Legacy interface: reserved feature bits',
    'transitional devices offer ANY_LAYOUT',
  ),
];
