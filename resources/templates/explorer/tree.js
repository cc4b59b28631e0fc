/** Dendrograms: where branches stand, and their drawing. */

import { draw } from "./text.js";

/**
 * Branches of a tree. `joins`: [a, b, height] of leaves and earlier joins, as scipy's linkage; `order`: leaves
 * from top to bottom. Each branch: {from: [[place, height], [place, height]], height, support}.
 */
export function branches(tree) {
  const nLeaves = tree.order.length;
  const nodes = Array.from({ length: nLeaves }, () => null);
  tree.order.forEach((leaf, place) => (nodes[leaf] = { place, height: 0 }));
  return tree.joins.map(([a, b, height], n) => {
    const ends = [nodes[a], nodes[b]];
    nodes.push({ place: (ends[0].place + ends[1].place) / 2, height });
    return { from: ends.map((end) => [end.place, end.height]), height, support: tree.support[n] };
  });
}

/** The tree as a group: leaves at the right, `row` pixels each, the root at the left of `width`. */
export function drawTree(tree, width, row) {
  const found = branches(tree);
  const most = Math.max(...found.map((branch) => branch.height), 1e-12);
  const x = (height) => width - 4 - (height / most) * (width - 10);
  const y = (place) => (place + 0.5) * row;
  const group = draw("g", { class: "tree" });
  for (const { from: [[first, low], [second, high]], height, support } of found) {
    const d = `M${x(low)} ${y(first)}H${x(height)}V${y(second)}H${x(high)}`;
    group.append(draw("path", { d }));
    if (support !== null && support !== undefined) {
      const label = `${Math.round(100 * support)}`;
      const place = { x: x(height) + 3, y: (y(first) + y(second)) / 2 + 3 };
      group.append(draw("text", { ...place, class: "support" }, label));
    }
  }
  return group;
}
