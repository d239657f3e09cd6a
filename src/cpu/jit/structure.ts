/**
 * A region's control flow as WebAssembly can say it: dominators, loops and merges. A branch back to
 * what does not dominate it cannot be said and becomes an exit. [N. Ramsey, "Beyond Relooper", 2022]
 */
import type { RegionNode } from './region.js';

/** Nodes that can be reached, in reverse post-order; their marks are set. */
export function structure(entry: RegionNode): RegionNode[] {
  const nodes = reversePostOrder(entry);
  nodes.forEach((node, i) => {
    node.order = i;
  });
  findDominators(nodes);
  const forward = new Map<RegionNode, number>();
  for (const node of nodes) {
    node.edges = node.edges.map((edge) => {
      const { to } = edge;
      if (!to) return edge;
      if (to.order > node.order) {
        forward.set(to, (forward.get(to) ?? 0) + 1);
        return edge;
      }
      if (!dominates(to, node)) return { at: edge.at, to: null };
      to.isLoop = true;
      return edge;
    });
  }
  for (const node of nodes) {
    node.isMerge = (forward.get(node) ?? 0) > 1;
    if (node.dominator) node.dominator.children.push(node);
  }
  return nodes;
}

function reversePostOrder(entry: RegionNode): RegionNode[] {
  const seen = new Set<RegionNode>([entry]);
  const post: RegionNode[] = [];
  const stack: { node: RegionNode; next: number }[] = [{ node: entry, next: 0 }];
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const edge = top.node.edges[top.next++];
    if (edge === undefined) {
      post.push(top.node);
      stack.pop();
    } else if (edge.to && !seen.has(edge.to)) {
      seen.add(edge.to);
      stack.push({ node: edge.to, next: 0 });
    }
  }
  return post.reverse();
}

/** [Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm", 2001] */
function findDominators(nodes: readonly RegionNode[]): void {
  const predecessors: number[][] = nodes.map(() => []);
  for (const node of nodes) {
    for (const { to } of node.edges) if (to) predecessors[to.order]!.push(node.order);
  }
  const idom: number[] = nodes.map((_, i) => (i === 0 ? 0 : -1));
  const meet = (x: number, y: number): number => {
    let [a, b] = [x, y];
    while (a !== b) {
      while (a > b) a = idom[a]!;
      while (b > a) b = idom[b]!;
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 1; i < nodes.length; i++) {
      let best = -1;
      for (const p of predecessors[i]!) {
        if (idom[p] !== -1) best = best === -1 ? p : meet(p, best);
      }
      if (idom[i] !== best) {
        idom[i] = best;
        changed = true;
      }
    }
  }
  for (let i = 1; i < nodes.length; i++) nodes[i]!.dominator = nodes[idom[i]!]!;
}

function dominates(a: RegionNode, b: RegionNode): boolean {
  let node: RegionNode | null = b;
  while (node && node.order > a.order) node = node.dominator;
  return node === a;
}
