// A layered layout of boxes inside boxes: ranks by longest path, order by barycentre, coordinates by least squares that keep order
// and distance. Pure arithmetic; runs in a worker, or in the page where there is none.
"use strict";

const SWEEPS = 8, SETTLES = 24, BEND = 6;

// Boxes {w, h} and edges [from, to] by number: {w, h, at: [[x, y]], bends: [[[x, y]] of each edge]}, arrows leading downwards.
function layered(boxes, edges, gap) {
  const count = boxes.length, users = boxes.map(() => []), clean = edges.map(([a, b]) => a !== b);
  edges.forEach(([a, b], k) => { if (clean[k]) users[a].push(b); });
  const order = reversePostorder(count, users), place = new Int32Array(count);
  order.forEach((box, k) => { place[box] = k; });
  const rank = new Int32Array(count), fed = new Uint8Array(count);
  const forward = users.map((list, box) => list.filter((user) => place[user] > place[box]));
  for (const box of order) for (const user of forward[box]) { rank[user] = Math.max(rank[user], rank[box] + 1); fed[user] = 1; }
  for (let box = 0; box < count; box++) {
    if (!fed[box] && forward[box].length) rank[box] = Math.min(...forward[box].map((user) => rank[user])) - 1;
  }
  const rows = [], widths = boxes.map((box) => box.w), above = boxes.map(() => []), below = boxes.map(() => []), rankOf = Array.from(rank);
  const put = (item, row) => { (rows[row] = rows[row] || []).push(item); };
  for (let box = 0; box < count; box++) put(box, rank[box]);
  const chains = edges.map(([a, b], k) => {
    const chain = [];
    if (!clean[k] || rank[b] <= rank[a]) return chain;
    for (let row = rank[a] + 1; row < rank[b]; row++) {
      const bend = widths.push(BEND) - 1;
      above.push([]); below.push([]); rankOf.push(row); put(bend, row); chain.push(bend);
    }
    const path = [a, ...chain, b];
    for (let i = 1; i < path.length; i++) { below[path[i - 1]].push(path[i]); above[path[i]].push(path[i - 1]); }
    return chain;
  });
  for (let row = 0; row < rows.length; row++) rows[row] = rows[row] || [];
  orderRows(rows, above, below);
  const x = centres(rows, widths, above, below, count, gap[0]);
  let left = Infinity, right = -Infinity, y = 0;
  for (const row of rows) for (const item of row) { left = Math.min(left, x[item] - widths[item] / 2); right = Math.max(right, x[item] + widths[item] / 2); }
  if (left === Infinity) left = right = 0;
  const at = boxes.map(() => [0, 0]), tops = [], bottoms = [];
  for (const row of rows) {
    let height = 0;
    for (const item of row) if (item < count) height = Math.max(height, boxes[item].h);
    for (const item of row) if (item < count) at[item] = [x[item] - widths[item] / 2 - left, y + (height - boxes[item].h) / 2];
    tops.push(y); bottoms.push(y + height);
    y += height + gap[1];
  }
  const bends = chains.map((chain) => chain.flatMap((bend) => [[x[bend] - left, tops[rankOf[bend]]], [x[bend] - left, bottoms[rankOf[bend]]]]));
  return { w: right - left, h: Math.max(0, y - gap[1]), at, bends };
}

function reversePostorder(count, users) {
  const order = [], seen = new Uint8Array(count);
  for (let root = count - 1; root >= 0; root--) {
    if (seen[root]) continue;
    seen[root] = 1;
    const stack = [[root, 0]];
    while (stack.length) {
      const top = stack[stack.length - 1], list = users[top[0]];
      while (top[1] < list.length && seen[list[top[1]]]) top[1]++;
      if (top[1] === list.length) { order.push(top[0]); stack.pop(); } else { seen[list[top[1]]] = 1; stack.push([list[top[1]], 0]); }
    }
  }
  return order.reverse();
}

function orderRows(rows, above, below) {
  let best = rows.map((row) => row.slice()), fewest = Infinity;
  const place = new Map();
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const down = sweep % 2 === 0, near = down ? above : below;
    for (let k = 1; k < rows.length; k++) {
      const fixed = rows[down ? k - 1 : rows.length - k], row = rows[down ? k : rows.length - 1 - k];
      place.clear();
      fixed.forEach((item, i) => place.set(item, i));
      const value = new Map(row.map((item, i) => {
        const found = near[item].filter((n) => place.has(n));
        return [item, found.length ? found.reduce((sum, n) => sum + place.get(n), 0) / found.length : i];
      }));
      row.sort((a, b) => value.get(a) - value.get(b));
    }
    const now = crossings(rows, below);
    if (now < fewest) { fewest = now; best = rows.map((row) => row.slice()); }
    if (now === 0) break;
  }
  best.forEach((row, k) => { rows[k] = row; });
}

function crossings(rows, below) {
  let total = 0;
  for (let k = 0; k + 1 < rows.length; k++) {
    const place = new Map(rows[k + 1].map((item, i) => [item, i])), tree = new Int32Array(rows[k + 1].length + 2);
    let seen = 0;
    for (const item of rows[k]) {
      const ends = below[item].map((n) => place.get(n)).sort((a, b) => a - b);
      for (const end of ends) { let before = 0; for (let i = end + 1; i > 0; i -= i & -i) before += tree[i]; total += seen - before; }
      for (const end of ends) { seen++; for (let i = end + 1; i < tree.length; i += i & -i) tree[i]++; }
    }
  }
  return total;
}

function centres(rows, widths, above, below, count, gap) {
  const x = new Float64Array(widths.length);
  for (const row of rows) { let at = 0; for (const item of row) { x[item] = at + widths[item] / 2; at += widths[item] + gap; } }
  const pull = (a, b) => [1, 2, 8][(a >= count) + (b >= count)];
  for (let step = 0; step < SETTLES; step++) {
    const down = step % 2 === 0;
    for (let k = 0; k < rows.length; k++) {
      const row = rows[down ? k : rows.length - 1 - k], wanted = [], weights = [];
      for (const item of row) {
        const near = step > 1 ? above[item].concat(below[item]) : down ? above[item] : below[item];
        let weight = 0, sum = 0;
        for (const n of near) { const p = pull(item, n); weight += p; sum += p * x[n]; }
        weights.push(weight || 1); wanted.push(weight ? sum / weight : x[item]);
      }
      settle(wanted, weights, row.map((item) => widths[item]), gap).forEach((value, i) => { x[row[i]] = value; });
    }
  }
  return x;
}

// The centres nearest to `wanted` that keep the order and the gaps: neighbours that push each other move as one block.
function settle(wanted, weights, widths, gap) {
  const offsets = [], blocks = [];
  let at = 0;
  widths.forEach((width, i) => { at += i ? widths[i - 1] / 2 + gap + width / 2 : 0; offsets.push(at); });
  wanted.forEach((want, i) => {
    let block = [want - offsets[i], weights[i], 1];
    while (blocks.length && blocks[blocks.length - 1][0] > block[0]) {
      const other = blocks.pop(), weight = other[1] + block[1];
      block = [(other[0] * other[1] + block[0] * block[1]) / weight, weight, other[2] + block[2]];
    }
    blocks.push(block);
  });
  const shifts = blocks.flatMap(([mean, , many]) => new Array(many).fill(mean));
  return shifts.map((shift, i) => shift + offsets[i]);
}

// A tree {w, h} or {children, edges, head}: sizes from the inside out, then corners {x, y} and bends of the edges from the outside in.
function placeTree(tree) {
  const measure = (item) => {
    if (!item.children) return;
    item.children.forEach(measure);
    const found = layered(item.children, item.edges, item.root ? [34, 44] : [22, 32]);
    item.inside = found;
    item.w = Math.max(found.w, item.head) + 28;
    item.h = found.h + 48;
  };
  const move = (item, x, y) => {
    item.x = x; item.y = y;
    if (!item.children) return;
    const left = x + (item.w - item.inside.w) / 2, top = y + 32;
    item.bends = item.inside.bends.map((list) => list.map(([bx, by]) => [bx + left, by + top]));
    item.children.forEach((child, k) => move(child, left + item.inside.at[k][0], top + item.inside.at[k][1]));
    delete item.inside;
  };
  measure(tree);
  move(tree, 0, 0);
  return tree;
}
