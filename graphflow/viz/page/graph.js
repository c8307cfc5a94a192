// The graph of a stage: closed scopes as boxes, open ones as frames; laid out in a worker, drawn as SVG, at most so much at once.
"use strict";

const MOST_VISIBLE = 400, ALL_LED = 30, CHARACTER = 6.65, LINE = 14, STUB = 11; // ALL_LED: so few boxes show every arrow whole
const SVG = "http://www.w3.org/2000/svg";

function el(name, attributes, ...children) {
  const html = attributes && attributes.html, made = html ? document.createElement(name) : document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "html" || value === undefined || value === null) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value); else made.setAttribute(key, value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) made.append(child); // texts stay texts
  return made;
}

const clipped = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);
const ending = (text, most) => (text.length <= most ? text : `…${text.slice(1 - most)}`);

class Graph {
  constructor(svg, { select, opened, caption }) {
    Object.assign(this, { svg, select, opened, caption, open: new Set(), ticket: 0, k: 1, x: 20, y: 20, selected: null });
    const tip = (id) => el("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, el("path", { d: "M0 0.8 L8 4 L0 7.2 z" }));
    this.scene = el("g");
    svg.append(el("defs", {}, tip("tip")), this.scene);
    this.worker = this.makeWorker();
    this.listen();
  }

  makeWorker() {
    try {
      const text = `${document.getElementById("layout").textContent}\nonmessage = (e) => postMessage({ ticket: e.data.ticket, tree: placeTree(e.data.tree) });`;
      const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
      worker.onmessage = (event) => { if (event.data.ticket === this.ticket) this.draw(event.data.tree); };
      worker.onerror = () => { this.worker = null; this.layout(); };
      return worker;
    } catch { return null; }
  }

  // --- what is shown ---

  show(stage, marks, mode) { // marks: Map key -> "new" | "changed" | "gone"
    const other = this.stage !== stage || this.mode !== mode, first = !this.stage || this.mode !== mode, anchor = first ? null : this.central();
    Object.assign(this, { stage, marks, mode });
    if (other) { this.nest = nest(stage, mode); if (first) { this.open.clear(); this.openSmall(); } }
    for (const id of [...this.open]) if (!this.nest.scopes.has(id)) this.open.delete(id);
    return this.layout({ fit: first, anchor });
  }

  openSmall() { // a graph that fits is open from the start where it has no scopes; else all is closed
    const { root } = this.nest;
    if (root.children.length === 1 && root.children[0].children) this.open.add(root.children[0].id);
  }

  central() { // what is drawn nearest to the middle of the view: it stays where it is when the stage changes
    const view = this.svg.getBoundingClientRect(), cx = (view.width / 2 - this.x) / this.k, cy = (view.height / 2 - this.y) / this.k;
    let best = null, least = Infinity;
    for (const id of this.drawn.keys()) {
      const box = this.where.get(id), away = Math.hypot(box.x + box.w / 2 - cx, box.y + box.h / 2 - cy);
      if (away < least) { least = away; best = id; }
    }
    return best;
  }

  toggle(id) {
    const opens = !this.open.has(id);
    if (opens) this.open.add(id); else this.open.delete(id);
    return this.layout({ anchor: id, whole: opens });
  }

  closeAll() { this.open.clear(); return this.layout({ fit: true }); }

  reveal(key) { // open all around a box, and go there
    const leaf = this.nest.leaves.get(key);
    if (!leaf) return Promise.resolve(false);
    for (let scope = leaf.parent; scope.parent; scope = scope.parent) { this.open.delete(scope.id); }
    const path = []; // opened last, so that the cap closes others first
    for (let scope = leaf.parent; scope.parent; scope = scope.parent) path.unshift(scope.id);
    path.forEach((id) => this.open.add(id));
    return this.layout({ centre: leaf.id }).then(() => true);
  }

  visible() {
    const found = [], visit = (scope) => { for (const child of scope.children) if (child.box || !this.open.has(child.id)) found.push(child); else visit(child); };
    visit(this.nest.root);
    return found;
  }

  layout(then = {}) {
    let shown = this.visible();
    while (shown.length > MOST_VISIBLE && this.open.size > 1) { this.open.delete(this.open.values().next().value); shown = this.visible(); }
    this.then = then;
    this.anchor = then.anchor && this.where ? this.where.get(then.anchor) : null;
    const representative = new Map();
    const stand = (key) => {
      let found = representative.get(key);
      if (!found) {
        found = this.nest.leaves.get(key);
        for (let scope = found.parent; scope.parent; scope = scope.parent) if (!this.open.has(scope.id)) found = scope;
        representative.set(key, found);
      }
      return found;
    };
    this.edges = this.joined(stand, shown.length);
    this.items = [];
    const numbers = new Map(), plain = (item) => {
      numbers.set(item, this.items.length);
      this.items.push(item);
      const box = { n: this.items.length - 1 };
      if (item.box || (item.parent && !this.open.has(item.id))) return Object.assign(box, this.size(item));
      return Object.assign(box, { root: !item.parent, head: item.name.length * 7.4 + 30, children: item.children.map(plain), edges: [] });
    };
    const tree = plain(this.nest.root), byNumber = [];
    const note = (box) => { byNumber[box.n] = box; (box.children || []).forEach(note); };
    note(tree);
    for (const edge of this.edges) {
      if (edge.far) continue;
      const [scope, a, b] = meeting(edge.a, edge.b), box = byNumber[numbers.get(scope)];
      edge.scope = scope;
      edge.slot = box.edges.push([scope.children.indexOf(a), scope.children.indexOf(b)]) - 1;
    }
    this.ticket++;
    const drawn = new Promise((done) => { this.done = done; });
    if (this.worker) this.worker.postMessage({ ticket: this.ticket, tree }); else this.draw(placeTree(tree));
    return drawn;
  }

  joined(stand, shown) { // one edge for all arrows between two things that are seen
    const found = new Map();
    for (const arrow of this.stage.arrows) {
      const a = stand(arrow.source), b = stand(arrow.target);
      if (a === b) continue;
      const far = isFar(this.stage, arrow) && (arrow.kind === "update" || shown > ALL_LED), id = `${a.id}\n${b.id}\n${far}`;
      let edge = found.get(id);
      if (!edge) found.set(id, (edge = { a, b, far, kind: arrow.kind, types: new Set(), count: 0 }));
      edge.types.add(arrow.type);
      edge.count++;
      if (arrow.kind === "data") edge.kind = "data";
    }
    return [...found.values()];
  }

  lines(item) { // [text, class] of each line in a box
    if (item.box) {
      const { box } = item, rows = [[ending(box.label, 34), "name"]];
      if (box.application !== box.label) rows.push([clipped(box.application, 36), ""]);
      if (box.type) rows.push([clipped(box.type, 36), "soft"]);
      rows.push([ending(box.location, 36), "soft"]);
      return rows;
    }
    const marks = ["new", "changed", "gone"].map((mark) => [mark, this.within(item, mark)]).filter(([, n]) => n).map(([mark, n]) => `${n} ${mark}`);
    const about = [item.count === 1 ? "1 node" : `${item.count} nodes`, ...marks, ...(item.group >= 0 ? this.caption(item.group) : [])];
    return [[`▸ ${clipped(item.name, 40)}`, "name"], [about.join(" · "), "soft"]];
  }

  within(item, mark) {
    if (this.tallied !== this.marks || this.talliedNest !== this.nest) {
      this.tally = new Map(); this.tallied = this.marks; this.talliedNest = this.nest;
      for (const [key, kind] of this.marks) {
        const leaf = this.nest.leaves.get(key);
        for (let scope = leaf && leaf.parent; scope; scope = scope.parent) {
          const count = this.tally.get(scope) || {};
          count[kind] = (count[kind] || 0) + 1;
          this.tally.set(scope, count);
        }
      }
    }
    return (this.tally.get(item) || {})[mark] || 0;
  }

  size(item) {
    const lines = this.lines(item);
    return { w: Math.max(70, ...lines.map(([text]) => text.length * CHARACTER)) + 20, h: lines.length * LINE + 11 };
  }

  // --- drawing ---

  draw(tree) {
    const scene = el("g"), frames = el("g"), edges = el("g"), boxes = el("g");
    this.where = new Map(); this.drawn = new Map(); this.edgesOf = new Map();
    const slots = new Map(), visit = (box) => {
      const item = this.items[box.n];
      this.where.set(item.id, box);
      if (box.children) {
        slots.set(item, box.bends);
        if (item.parent) frames.append(this.frame(item, box));
        box.children.forEach(visit);
      } else boxes.append(this.box(item, box));
    };
    visit(tree);
    const few = this.edges.length < 150;
    for (const edge of this.edges) {
      for (const item of [edge.a, edge.b]) this.edgesOf.set(item.id, [...(this.edgesOf.get(item.id) || []), edge]);
      edges.append(edge.far ? this.stubs(edge) : this.edge(edge, slots.get(edge.scope)[edge.slot], few));
    }
    scene.append(frames, edges, boxes);
    this.scene.replaceWith(scene);
    this.scene = scene;
    this.bounds = tree;
    this.camera();
    this.mark();
    this.opened(this.drawn.size);
    if (this.done) this.done();
  }

  frame(item, box) {
    const title = el("text", { x: box.x + 12, y: box.y + 18, onclick: () => this.click(item, true) }, `▾ ${item.name}`);
    return el("g", { class: "frame", "data-scope": item.id, onclick: (e) => { if (item.group >= 0 && e.target.tagName !== "text") this.select(item); } },
      el("rect", { x: box.x, y: box.y, width: box.w, height: box.h }), title);
  }

  box(item, box) {
    const kinds = item.box ? [item.box.kind] : Object.entries(item.kinds).sort((a, b) => b[1] - a[1]).map(([kind]) => kind).filter((kind) => kind !== "constant");
    const mark = item.box ? this.marks.get(item.box.key) : ["new", "gone", "changed"].find((name) => this.within(item, name));
    const made = el("g", {
      class: ["box", kinds[0] || "constant", item.box ? "leaf" : "scope", item.box && item.box.fetched ? "fetched" : "", mark || ""].join(" ").trim(),
      "data-key": item.box ? item.box.key : null, "data-scope": item.box ? null : item.id,
      onclick: (e) => { e.stopPropagation(); this.click(item, false, e.shiftKey); }, ondblclick: () => { if (!item.box && item.group >= 0) this.toggle(item.id); },
      onpointerenter: () => this.hover(item), onpointerleave: () => this.hover(null),
    });
    if (!item.box) made.append(el("rect", { class: "behind", x: box.x + 4, y: box.y + 4, width: box.w, height: box.h }));
    made.append(el("rect", { class: "face", x: box.x, y: box.y, width: box.w, height: box.h }));
    this.lines(item).forEach(([text, kind], k) => made.append(el("text", { x: box.x + 10, y: box.y + 16 + k * LINE, class: kind }, text)));
    if (item.box) made.append(el("title", {}, [item.box.name, item.box.application, item.box.type, item.box.location].join("\n")));
    this.drawn.set(item.id, made);
    return made;
  }

  click(item, toggles, shift) {
    if (item.box || (item.group >= 0 && !toggles)) this.select(item, shift); else this.toggle(item.id);
  }

  ends(edge) {
    const a = this.where.get(edge.a.id), b = this.where.get(edge.b.id);
    return [[a.x + a.w / 2, a.y + a.h], [b.x + b.w / 2, b.y - 2]];
  }

  edge(edge, bends, few) {
    const [from, to] = this.ends(edge), path = curve([from, ...bends, to]), label = edge.types.size === 1 ? [...edge.types][0] : `${edge.count} values`;
    const middle = bends.length ? bends[Math.floor(bends.length / 2)] : [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
    edge.path = el("path", { class: `edge ${edge.kind}`, d: path, "marker-end": "url(#tip)" });
    const text = few && edge.kind === "data" && label ? el("text", { class: "type", x: middle[0] + 4, y: middle[1] + 3 }, clipped(label, 26)) : null;
    return el("g", {}, edge.path, el("path", { class: "hit", d: path }, el("title", {}, `${[...edge.types].join("\n")}`)), text);
  }

  stubs(edge) { // both ends of an arrow that is led only while one of its boxes is looked at
    const [from, to] = this.ends(edge);
    return el("path", { class: "stub", d: `M${from[0] + 8} ${from[1]} v${STUB} M${to[0] - 8} ${to[1] + 2 - STUB} v${STUB - 2}` }, el("title", {}, [...edge.types].join("\n")));
  }

  hover(item) {
    if (this.hot) this.hot.forEach((undo) => undo());
    this.hot = null;
    const at = item || this.selected;
    if (!at || !this.drawn.has(at.id)) return;
    const undo = (this.hot = []), tag = (made, name) => { made.classList.add(name); undo.push(() => made.classList.remove(name)); };
    for (const edge of this.edgesOf.get(at.id) || []) {
      if (!edge.far) { tag(edge.path, "hot"); continue; }
      const made = el("path", { class: `edge far hot ${edge.kind}`, d: curve(this.ends(edge)), "marker-end": "url(#tip)" });
      this.scene.append(made);
      undo.push(() => made.remove());
    }
    if (at.box) for (const key of this.twins(at.box)) for (const [id, made] of this.drawn) if (id === `=${key}`) tag(made, "twin");
  }

  twins(box) { // the forward box of a gradient, or the gradients of a forward box
    return box.twin !== null ? [box.twin] : (links(this.stage).gradients.get(box.key) || []).map((other) => other.key);
  }

  mark() {
    for (const made of this.drawn.values()) made.classList.remove("selected");
    if (this.selected && this.drawn.has(this.selected.id)) this.drawn.get(this.selected.id).classList.add("selected");
    this.hover(null);
  }

  // --- camera ---

  camera() {
    const { then } = this, view = this.svg.getBoundingClientRect();
    if (then.fit) this.fit(false);
    const at = then.centre && this.where.get(then.centre);
    if (at) { this.k = Math.max(this.k, 0.75); this.x = view.width / 2 - (at.x + at.w / 2) * this.k; this.y = view.height / 2 - (at.y + at.h / 2) * this.k; }
    const now = then.anchor && this.where.get(then.anchor);
    if (now && this.anchor) { this.x += (this.anchor.x - now.x) * this.k; this.y += (this.anchor.y - now.y) * this.k; }
    if (then.whole && now) { // what was opened is seen whole
      const left = this.x + now.x * this.k, top = this.y + now.y * this.k;
      if (left < 0 || top < 0 || left + now.w * this.k > view.width || top + now.h * this.k > view.height) {
        this.k = Math.max(0.6, Math.min(this.k, (view.width - 60) / now.w, (view.height - 60) / now.h)); // not so small that nobody can read it
        this.x = view.width / 2 - (now.x + now.w / 2) * this.k; this.y = Math.max(24, (view.height - now.h * this.k) / 2) - now.y * this.k;
      }
    }
    this.then = {};
    this.move();
  }

  fit(move = true) {
    const view = this.svg.getBoundingClientRect(), { w, h } = this.bounds;
    this.k = Math.min(1.25, (view.width - 24) / w, (view.height - 24) / h);
    this.x = (view.width - w * this.k) / 2; this.y = Math.max(8, (view.height - h * this.k) / 2);
    if (move) this.move();
  }

  move() {
    this.scene.setAttribute("transform", `translate(${this.x} ${this.y}) scale(${this.k})`);
    this.svg.classList.toggle("small", this.k < 0.45);
  }

  listen() {
    const { svg } = this;
    svg.addEventListener("wheel", (e) => {
      e.preventDefault();
      const view = svg.getBoundingClientRect(), px = e.clientX - view.left, py = e.clientY - view.top, k = Math.min(4, Math.max(0.02, this.k * Math.exp(-e.deltaY * 0.0015)));
      this.x = px - ((px - this.x) * k) / this.k; this.y = py - ((py - this.y) * k) / this.k; this.k = k;
      this.move();
    }, { passive: false });
    let drag = null;
    svg.addEventListener("pointerdown", (e) => { drag = { x: e.clientX - this.x, y: e.clientY - this.y, from: [e.clientX, e.clientY], moved: false }; });
    window.addEventListener("pointermove", (e) => {
      if (!drag) return;
      drag.moved = drag.moved || Math.hypot(e.clientX - drag.from[0], e.clientY - drag.from[1]) > 4;
      if (drag.moved) { svg.classList.add("drag"); this.x = e.clientX - drag.x; this.y = e.clientY - drag.y; this.move(); }
    });
    window.addEventListener("pointerup", () => { svg.classList.remove("drag"); this.dragged = drag && drag.moved; drag = null; });
    svg.addEventListener("click", (e) => { if (this.dragged) { e.stopPropagation(); this.dragged = false; } else if (e.target === svg) this.select(null); }, true);
  }
}

function meeting(a, b) { // the innermost scope around both, and which of its children they are in
  const way = (item) => { const found = [item]; while (item.parent) found.push((item = item.parent)); return found.reverse(); };
  const one = way(a), other = way(b);
  let k = 0;
  while (one[k + 1] === other[k + 1]) k++;
  return [one[k], one[k + 1], other[k + 1]];
}

function curve(points) { // a smooth line that leaves and arrives vertically
  let text = `M${points[0][0].toFixed(1)} ${points[0][1].toFixed(1)}`;
  for (let k = 1; k < points.length; k++) {
    const [x0, y0] = points[k - 1], [x1, y1] = points[k], bend = y1 >= y0 ? (y1 - y0) * 0.45 : Math.min(60, (y0 - y1) * 0.5 + 20);
    text += `C${x0.toFixed(1)} ${(y0 + bend).toFixed(1)} ${x1.toFixed(1)} ${(y1 - bend).toFixed(1)} ${x1.toFixed(1)} ${y1.toFixed(1)}`;
  }
  return text;
}
