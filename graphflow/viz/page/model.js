// The ledger's data as objects: stages of boxes and arrows, and the nest of scopes or kernels that a stage is shown as.
"use strict";

const MOST_INSIDE = 36, STRETCH = 24, LEAST_OF_A_LINE = 6; // children that a scope shows at once; more are shown as parts of so many

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return decode(await new Response(stream).json());
}

function decode(raw) {
  const text = raw.texts, some = (index) => (index < 0 ? null : text[index]);
  const boxes = raw.boxes.map(([key, name, op, application, type, location, kind, scope, twin, bytes, flops, fetched]) => ({
    key: text[key], name: text[name], op: text[op], application: text[application], type: text[type], location: text[location],
    kind: text[kind], scope: text[scope], twin: some(twin), bytes, flops, fetched: fetched === 1, label: text[name].split("/").pop() || text[name],
  }));
  const arrows = raw.arrows.map(([source, target, type, kind, operand, output]) => (
    { source: text[source], target: text[target], type: text[type], kind: text[kind], operand, output }));
  const named = (list) => new Set(list.map((index) => text[index]));
  const stages = raw.stages.map((stage) => ({
    ...stage, boxes: stage.boxes.map((k) => boxes[k]), arrows: stage.arrows.map((k) => arrows[k]),
    fresh: named(stage.new), changed: named(stage.changed), gone: named(stage.gone),
    fired: stage.fired.map((rule) => ({ ...rule, places: rule.places.map(([a, b, inA, inB]) => ({ before: text[a], after: text[b], inBefore: inA === 1, inAfter: inB === 1 })) })),
  }));
  const index = new Map(); // stages that nothing changed share their lists
  for (const stage of stages) {
    stage.byKey = new Map(stage.boxes.map((box) => [box.key, box]));
    stage.bandOf = new Map(stage.boxes.map((box, k) => [box.key, stage.band[k]]));
  }
  return { ...raw, stages, index };
}

function links(stage) { // {into, out of} of each box, made when first asked for
  if (stage.links) return stage.links;
  const into = new Map(), out = new Map(), add = (map, key, arrow) => { if (map.has(key)) map.get(key).push(arrow); else map.set(key, [arrow]); };
  for (const arrow of stage.arrows) { add(into, arrow.target, arrow); add(out, arrow.source, arrow); }
  const gradients = new Map();
  for (const box of stage.boxes) if (box.twin !== null) add(gradients, box.twin, box);
  return (stage.links = { into, out, gradients });
}

function pathOf(stage, box, mode) {
  if (mode === "scopes") return box.scope ? box.scope.split("/") : [];
  const path = [];
  for (let key = box.key, guard = 0; key !== null && guard < 50; guard++) { // out of the bodies of loops
    const number = stage.bandOf.get(key), band = number >= 0 ? stage.bands[number] : null;
    if (!band) break;
    path.unshift(band.name);
    key = band.kind === "body" ? band.owner : null;
  }
  return path;
}

// The nest of a stage: {id, name, parent, children} of scopes, kernels or stretches; {id, box, parent} of boxes.
function nest(stage, mode) {
  const root = { id: "", name: "", parent: null, children: [], depth: 0 }, scopes = new Map([["", root]]), leaves = new Map();
  for (const box of stage.boxes) {
    let parent = root;
    for (const part of pathOf(stage, box, mode)) {
      const id = `${parent.id}/${part}`;
      if (!scopes.has(id)) {
        const scope = { id, name: part, parent, children: [], group: mode === "kernels" ? stage.bands.findIndex((band) => band.name === part) : -1 };
        scopes.set(id, scope);
        parent.children.push(scope);
      }
      parent = scopes.get(id);
    }
    const leaf = { id: `=${box.key}`, box, parent };
    leaves.set(box.key, leaf);
    parent.children.push(leaf);
  }
  for (const scope of [...scopes.values()]) stretch(scope, scopes);
  total(root);
  return { root, scopes, leaves };
}

// What is too much to see at once: boxes of one line of the user's become a part, then what follows one another becomes parts.
function stretch(scope, scopes) {
  if (scope.children.length > MOST_INSIDE && !scope.stretch) {
    const lines = new Map();
    for (const child of scope.children) if (child.box) lines.set(child.box.location, [...(lines.get(child.box.location) || []), child]);
    for (const [line, boxes] of lines) {
      if (!line || boxes.length < LEAST_OF_A_LINE || boxes.length === scope.children.length) continue;
      const first = scope.children.indexOf(boxes[0]), part = gather(scope, scopes, `${scope.id}@${line}`, boxes, line.split("/").pop());
      scope.children.splice(first, 0, part);
      scope.children = scope.children.filter((child) => child.parent === scope);
      stretch(part, scopes);
    }
  }
  for (let level = 0; scope.children.length > MOST_INSIDE; level++) {
    const { children } = scope, each = Math.ceil(children.length / Math.ceil(children.length / STRETCH)), parts = [];
    for (let k = 0; k < children.length; k += each) parts.push(gather(scope, scopes, `${scope.id}#${level}.${k}`, children.slice(k, k + each), ""));
    scope.children = parts;
  }
}

function gather(scope, scopes, id, children, name) {
  const part = { id, name, parent: scope, children, group: -1, stretch: true };
  for (const child of children) child.parent = part;
  scopes.set(id, part);
  return part;
}

function total(item) { // counts of what is inside
  if (item.box) return { count: 1, kinds: { [item.box.kind]: 1 }, ops: { [item.box.op]: 1 } };
  const sum = { count: 0, kinds: {}, ops: {} };
  for (const child of item.children) {
    const found = total(child);
    sum.count += found.count;
    for (const part of ["kinds", "ops"]) for (const name in found[part]) sum[part][name] = (sum[part][name] || 0) + found[part][name];
  }
  Object.assign(item, sum);
  if (item.stretch && !item.name) item.name = Object.entries(sum.ops).sort((a, b) => b[1] - a[1]).slice(0, 2).map(([op, n]) => `${n} ${op}`).join(", ");
  return sum;
}

const isFar = (stage, arrow) => { // not led from box to box, but begun and ended: next values, and from forward boxes to gradients
  if (arrow.kind === "update") return true;
  const source = stage.byKey.get(arrow.source), target = stage.byKey.get(arrow.target);
  return target.kind === "gradient" && source.kind !== "gradient";
};
