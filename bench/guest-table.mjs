import { geometricMean, median, spread, table } from './table.mjs';

/** Nanoseconds of one pass, a figure a round, by the clock that is believed for this peer. */
export function rounds(kernel, peer) {
  const { guestNs, hostNs } = kernel.peers[peer.name];
  return peer.clock === 'host' ? hostNs : guestNs;
}

/** How many times as fast as `other` Chassis ran each kernel, by medians. */
export function ratios({ peers, kernels }, other) {
  const [ours, theirs] = ['chassis', other].map((name) => peers.find((peer) => peer.name === name));
  if (!ours || !theirs) return undefined;
  return kernels.map((kernel) => ({
    name: kernel.name,
    ratio: median(rounds(kernel, theirs)) / median(rounds(kernel, ours)),
  }));
}

function figure(ns) {
  return (ns / 1000).toFixed(ns < 100_000 ? 2 : 0);
}

/** A width's kernels, a line each, with the means and what the clocks did below. */
export function guestTable(result) {
  const { bits, peers, kernels } = result;
  const others = peers.filter(({ name }) => name !== 'chassis').map(({ name }) => name);
  const compared = others.filter((name) => ratios(result, name));
  const header = [
    `${bits}-bit, us a pass`,
    ...peers.flatMap(({ name }) => [name, '+-%']),
    ...compared.map((name) => `x ${name}`),
  ];
  const rows = kernels.map((kernel, i) => [
    kernel.name,
    ...peers.flatMap((peer) => {
      const values = rounds(kernel, peer);
      return [figure(median(values)), spread(values).toFixed(0)];
    }),
    ...compared.map((name) => ratios(result, name)[i].ratio.toFixed(3)),
  ]);
  const notes = compared.map((name) => {
    const all = ratios(result, name);
    const worst = all.reduce((a, b) => (b.ratio < a.ratio ? b : a));
    const mean = geometricMean(all.map(({ ratio }) => ratio)).toFixed(3);
    return `chassis against ${name}: geometric mean ${mean}x as fast, worst ${worst.name} ${worst.ratio.toFixed(3)}x`;
  });
  for (const { name, drift, clock } of peers) {
    if (clock !== 'host') continue;
    const percent = (drift * 100).toFixed(1);
    notes.push(`${name}: its clock ran ${percent} % off the host's; figures by the host's`);
  }
  return [table(header, rows), ...notes].join('\n');
}
