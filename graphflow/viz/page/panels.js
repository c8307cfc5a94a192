// The side panel (a stage, a node, a kernel, why two nodes are not in one kernel) and the sheets (kernels, memory, time).
"use strict";

const h = (name, attributes, ...children) => el(name, { html: true, ...attributes }, ...children);
const UNITS = [["G", 1e9], ["M", 1e6], ["k", 1e3]];
const short = (n, unit) => { if (n === null || n === undefined) return "–"; const found = UNITS.find(([, size]) => n >= size); return found ? `${(n / found[1]).toPrecision(3)} ${found[0]}${unit}` : `${Math.round(n)} ${unit}`; };
const time = (s) => (s === null || s === undefined ? "–" : s >= 1e-3 ? `${(s * 1e3).toPrecision(3)} ms` : s >= 1e-6 ? `${(s * 1e6).toPrecision(3)} µs` : `${(s * 1e9).toPrecision(3)} ns`);
const rows = (pairs) => h("dl", {}, pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
const list = (items) => h("ul", { class: "plain" }, items.map((item) => h("li", {}, item)));

class Panels {
  constructor(panel, sheet, ledger, go) { Object.assign(this, { panel, sheet, ledger, go }); }

  fill(...parts) { this.panel.replaceChildren(...parts.flat().filter(Boolean)); this.panel.scrollTop = 0; }

  link(key, text = key) { return h("a", { class: "go mono", onclick: () => this.go.node(key) }, ending(text, 52)); }

  // --- the stage: what a pass did ---

  stage(number) {
    const { stages } = this.ledger, stage = stages[number], last = stages[number - 1], count = stage.boxes.length;
    const changes = [["new", stage.fresh], ["changed", stage.changed], ["gone", stage.gone]];
    const parts = [h("h2", {}, stage.name === "built" ? "as it was built" : stage.name === "groups" ? "in fusion groups" : `after ${stage.name}`)];
    parts.push(h("p", { class: "soft" }, last && stage.name !== "groups" ? `${last.boxes.length} → ${count} nodes, ${time(stage.seconds)}` : `${count} nodes`));
    if (number && stage.name !== "groups") {
      if (!changes.some(([, keys]) => keys.size)) parts.push(h("p", {}, "This pass changed nothing."));
      else parts.push(h("p", {}, changes.filter(([, keys]) => keys.size).map(([mark, keys]) => h("span", { class: `tag ${mark}` }, `${keys.size} ${mark}`))));
    }
    for (const rule of stage.fired) {
      parts.push(h("h3", {}, `${rule.count} × ${rule.name}`), h("div", { class: "mono equation" }, rule.equation));
      parts.push(list(rule.places.slice(0, 12).map((place) => h("span", {},
        place.inBefore ? h("a", { class: "go mono", onclick: () => this.go.before(place.before) }, ending(place.before, 26)) : h("span", { class: "mono soft" }, ending(place.before, 26)),
        " → ", place.inAfter ? this.link(place.after, ending(place.after, 26)) : h("span", { class: "mono soft" }, ending(place.after, 26))))));
      if (rule.count > 12) parts.push(h("p", { class: "soft" }, `and ${rule.count - 12} more`));
    }
    if (number && stage.name !== "groups" && stage.gone.size) parts.push(h("h3", {}, "gone"), list([...stage.gone].slice(0, 30).map((key) => h("a", { class: "go mono", onclick: () => this.go.before(key) }, ending(key, 52)))));
    if (stage.name === "groups") parts.push(h("h3", {}, `${this.ledger.groups.length} groups`), list(this.ledger.groups.slice(0, 200).map((group, k) => h("a", { class: "go mono", onclick: () => this.go.group(k) }, group.name))));
    if (number === 0) parts.push(this.summary());
    const sizes = Object.entries(this.ledger.sizes);
    if (sizes.length) parts.push(h("h3", {}, "sizes"), h("p", { class: "mono" }, sizes.map(([name, size]) => `${name} = ${size}`).join(", ")));
    this.fill(parts);
  }

  summary() { // what it all came to, and how to look at it
    const { kernels, memory, stages } = this.ledger, sum = (name) => (kernels.some((kernel) => kernel[name] === null) ? null : kernels.reduce((total, kernel) => total + kernel[name], 0));
    const known = [["operations", sum("flops"), ""], ["bytes moved", sum("bytes"), "B"], ["arena", memory && memory.arena, "B"]].filter(([, n]) => n !== null);
    return h("div", {}, h("h3", {}, "what became of it"), rows([["nodes", `${stages[0].boxes.length} → ${stages[stages.length - 1].boxes.length}`], ["kernels", String(kernels.length)],
      ...known.map(([name, n, unit]) => [name, short(n, unit)]), ["estimated", sum("estimate") === null ? "" : time(sum("estimate"))], ["measured", sum("seconds") === null ? "" : `${time(sum("seconds"))} in kernels`]]),
    h("h3", {}, "to look at it"), list(["click a scope to open it, its title to close it", "click a node for what it reads and is read by", "point at a gradient to see what it is the gradient of", "move the slider to see what each pass did", "choose boxes by kernel, and click one for its code"]));
  }

  // --- a node ---

  node(stage, box) {
    const { into, out, gradients } = links(stage), group = stage.name === "groups" ? this.groupOf(stage, box.key) : -1;
    const ends = (arrows, end) => list((arrows || []).slice(0, 40).map((arrow) => h("span", {}, this.link(arrow[end]), h("span", { class: "soft mono" }, `  ${arrow.type}${arrow.kind === "data" ? "" : ` (${arrow.kind})`}`))));
    const twins = box.twin !== null ? [box.twin] : (gradients.get(box.key) || []).map((other) => other.key);
    this.fill(
      h("h2", { class: "mono", id: "selected" }, box.name), h("p", {}, ["new", "changed", "gone"].filter((mark) => this.go.marked(box.key) === mark).map((mark) => h("span", { class: `tag ${mark}` }, mark)), h("span", { class: "soft" }, box.kind)),
      rows([["computes", box.application], ["type", box.type], ["line", box.location], ["scope", box.scope], ["bytes", box.bytes === null ? "" : short(box.bytes, "B")], ["operations", box.flops ? short(box.flops, "") : ""]]),
      group >= 0 ? h("p", {}, "in kernel ", h("a", { class: "go mono", onclick: () => this.go.group(group) }, this.ledger.groups[group].name), " ", h("button", { id: "why", onclick: () => this.go.why(box.key) }, "why not fused with …")) : null,
      twins.length ? [h("h3", {}, box.twin !== null ? "the gradient of" : "its gradient"), list(twins.map((key) => this.link(key)))] : null,
      into.has(box.key) ? [h("h3", {}, "reads"), ends(into.get(box.key), "source")] : null, out.has(box.key) ? [h("h3", {}, "is read by"), ends(out.get(box.key), "target")] : null,
    );
  }

  groupOf(stage, key) {
    for (let guard = 0; key !== null && guard < 50; guard++) {
      const number = stage.bandOf.get(key);
      if (number === undefined || number < 0) return -1;
      if (number < this.ledger.groups.length) return number;
      key = stage.bands[number].owner;
    }
    return -1;
  }

  why(stage, one, other) {
    const a = this.groupOf(stage, one), b = this.groupOf(stage, other), { groups } = this.ledger;
    const said = (from, to) => groups[from].refused.filter(([node, number]) => number === groups[to].number).map(([node, , reason]) => `${node}: ${reason}`);
    let text;
    if (a < 0 || b < 0) text = ["Inputs and constants are in no kernel."];
    else if (a === b) text = [`Both are computed in ${groups[a].name}.`];
    else text = [...new Set([...said(a, b), ...said(b, a)])];
    if (!text.length) {
      const kinds = [a, b].map((k) => groups[k]).filter((group) => group.kind !== "loop").map((group) => `${group.name} is a kernel of its own kind (${group.kind})`);
      text = kinds.length ? kinds : ["It was not tried: neither reads what the other's kernel makes, nor do both read one buffer over one shape."];
    }
    this.fill(h("h2", {}, "Why not in one kernel?"), list([this.link(one), this.link(other)]), h("h3", {}, "because"), h("div", { id: "because" }, list(text)),
      [a, b].filter((k, i, all) => k >= 0 && all.indexOf(k) === i).map((k) => h("p", {}, h("a", { class: "go mono", onclick: () => this.go.group(k) }, groups[k].name))));
  }

  // --- kernels ---

  caption(number) { // what a kernel's box says of it
    const kernels = this.ledger.kernels.filter((kernel) => kernel.group === number), sum = (name) => kernels.reduce((total, kernel) => total + (kernel[name] || 0), 0);
    return kernels.length && kernels[0].bytes !== null ? [short(sum("bytes"), "B"), `${short(sum("flops"), "")}ops`, ...(kernels[0].seconds ? [time(sum("seconds"))] : [])] : [];
  }

  group(number) {
    if (!this.ledger.groups[number]) return; // a picture alone
    const group = this.ledger.groups[number], kernels = this.ledger.kernels.filter((kernel) => kernel.group === number);
    this.fill(h("h2", { class: "mono", id: "selected" }, group.name), h("p", { class: "soft" }, `${{ loop: "a kernel", library: "a kernel of its own kind", host: "called back in Python", control: "a loop or a branch" }[group.kind]} over ${group.shape}`),
      kernels.map((kernel) => this.kernel(kernel)),
      h("h3", {}, "computes"), list(group.members.slice(0, 60).map((name) => h("span", { class: "mono" }, ending(name, 52)))),
      h("h3", {}, "reads"), list(group.reads.map((text) => h("span", { class: "mono" }, clipped(text, 56)))), h("h3", {}, "writes"), list(group.writes.map((text) => h("span", { class: "mono" }, clipped(text, 56)))),
      h("h3", {}, "why it ends here"), list(group.remarks.length ? group.remarks : ["nothing else reads or feeds it"]));
  }

  kernel(kernel) {
    const { machine } = this.ledger, intensity = kernel.bytes ? kernel.flops / kernel.bytes : null;
    const bound = kernel.bytes === null || kernel.flops === null ? null : Math.max(kernel.bytes / machine["bytes per ns"], kernel.flops * machine["ns per flop"]) / 1e9;
    return h("div", { class: "kernel" },
      rows([["launch", `row ${kernel.row}, ${kernel.form}, ${clipped(kernel.extent, 60)} units`], ["bytes", short(kernel.bytes, "B")], ["operations", short(kernel.flops, "")], ["intensity", intensity === null ? "–" : `${intensity.toPrecision(3)} per byte`],
        ["vectors", kernel.vector], ["estimated", time(kernel.estimate)], ["measured", kernel.seconds === null ? "" : `${time(kernel.seconds)}${kernel.flops ? `, ${(kernel.flops / kernel.seconds / 1e9).toPrecision(3)} GFLOP/s` : ""}`],
        ["roofline", bound === null ? "" : `${time(bound)}${kernel.seconds ? `, reached to ${Math.round((100 * bound) / kernel.seconds)} %` : " at best"}`]]),
      kernel.bytes && kernel.flops ? this.roofline(kernel) : null,
      h("h3", {}, "lines"), list(kernel.lines.slice(0, 12).map((line) => h("span", { class: "mono" }, line))),
      h("h3", {}, "loop IR"), h("pre", { class: "loops" }, kernel.loops), h("h3", {}, "source"), h("pre", { class: "source" }, kernel.source),
      h("h3", {}, "buffers"), list(kernel.buffers.map(([name, role, type]) => h("span", { class: "mono" }, `${role}: ${clipped(name, 30)}  ${clipped(type, 30)}`))));
  }

  roofline(kernel) { // log of operations per second over log of operations per byte
    const { machine } = this.ledger, W = 340, H = 120, peak = 1 / machine["ns per flop"], x = (i) => 34 + ((Math.log10(i) + 2) / 5) * (W - 50), y = (g) => H - 22 - ((Math.log10(g) + 1) / 3.4) * (H - 34);
    const intensity = Math.min(900, Math.max(0.011, kernel.flops / kernel.bytes)), best = Math.min(peak, intensity * machine["bytes per ns"]), knee = peak / machine["bytes per ns"];
    const at = kernel.seconds ? kernel.flops / kernel.seconds / 1e9 : kernel.flops / kernel.estimate / 1e9;
    return el("svg", { width: W, height: H, class: "roofline" }, el("path", { class: "axis", fill: "none", d: `M34 10 V${H - 22} H${W - 10}` }),
      el("path", { class: "roof", d: `M${x(0.01)} ${y(Math.max(0.1, 0.01 * machine["bytes per ns"]))} L${x(knee)} ${y(peak)} H${x(1000)}` }),
      el("path", { class: "peak", d: `M${x(intensity)} ${y(best)} V${H - 22}` }), el("circle", { class: "dot", cx: x(intensity), cy: y(Math.max(0.1, at)), r: 4 }, el("title", {}, `${at.toPrecision(3)} GFLOP/s ${kernel.seconds ? "measured" : "estimated"}, ${best.toPrecision(3)} at best`)),
      el("text", { x: 4, y: y(peak) + 4, class: "type" }, peak.toFixed(0)), el("text", { x: 36, y: H - 8, class: "type" }, "operations per byte, against GFLOP/s"));
  }

  kernels() {
    const { rows: launches, kernels } = this.ledger, head = ["row", "launch", "bytes", "operations", "per byte", "vectors", "estimated", "measured"];
    const cells = (row, k) => {
      const kernel = kernels[row.kernel], name = h("td", { class: "mono" }, "\u00a0\u00a0".repeat(row.depth) + clipped(row.text, 70));
      if (!kernel) return h("tr", {}, h("td", { class: "n soft" }, String(k)), name);
      const numbers = [short(kernel.bytes, "B"), short(kernel.flops, ""), kernel.bytes && kernel.flops !== null ? (kernel.flops / kernel.bytes).toPrecision(3) : "–", kernel.vector, time(kernel.estimate), time(kernel.seconds)];
      return h("tr", { "data-kernel": row.kernel, onclick: () => this.go.group(kernel.group) }, h("td", { class: "n soft" }, String(k)), name, numbers.map((text) => h("td", { class: "n" }, text)));
    };
    this.sheet.replaceChildren(h("table", {}, h("tr", {}, head.map((text, k) => h("th", { class: k === 1 ? "" : "n" }, text))), launches.slice(0, 3000).map(cells)));
  }

  // --- memory and time ---

  memory() {
    const { memory, rows: launches } = this.ledger;
    if (!memory) { this.sheet.replaceChildren(h("p", {}, "The memory is planned when sizes are known: give the feeds, or their shapes.")); return; }
    const W = Math.max(500, this.sheet.clientWidth - 60), H = 420, n = Math.max(1, launches.length), step = W / n, scale = H / Math.max(1, memory.arena), peak = memory.peak, held = memory.ranges.filter(([, , first, last]) => first <= peak && peak <= last).sort((a, b) => b[1] - a[1]);
    const bars = memory.ranges.map(([name, size, first, last, offset]) => {
      const y = H - (offset + size) * scale, w = (last - first + 1) * step, label = w > name.length * 6 + 8 && size * scale > 13 ? el("text", { x: first * step + 5, y: y + 11, class: "type" }, name) : null;
      return el("g", { class: "range", onclick: () => this.go.named(name) }, el("rect", { class: "bar", x: first * step, y, width: Math.max(1, w - 0.5), height: Math.max(1, size * scale - 0.5) }, el("title", {}, `${name}: ${size.toLocaleString("en")} bytes at ${offset.toLocaleString("en")}, launches ${first} to ${last}`)), label);
    });
    this.sheet.replaceChildren(
      h("h2", {}, `one block of ${memory.arena.toLocaleString("en")} bytes, the buffers of ${n} launches in it`), h("p", { class: "soft" }, "From left to right the launches, from bottom to top the addresses."),
      el("svg", { width: W + 4, height: H + 20, id: "plan" }, bars, el("path", { class: "peak", d: `M${(peak + 0.5) * step} 0 V${H}` }), el("text", { x: 0, y: H + 15, class: "soft" }, "launch 0"), el("text", { x: Math.max(70, W - 80), y: H + 15, class: "soft" }, `launch ${n - 1}`)),
      h("h3", {}, `the peak: ${(memory.live[peak] || 0).toLocaleString("en")} bytes alive at launch ${peak}${launches[peak] ? `, ${clipped(launches[peak].text, 60)}` : ""}; who holds it`),
      h("table", { id: "held" }, held.slice(0, 30).map(([name, size, first, last]) => h("tr", {}, h("td", { class: "mono" }, h("a", { class: "go", onclick: () => this.go.named(name) }, name)), h("td", { class: "n" }, `${size.toLocaleString("en")} B`), h("td", { class: "soft" }, `launches ${first} to ${last}`)))),
      h("h3", {}, "all of the memory"), rows(Object.entries(memory.sums).map(([name, size]) => [name, `${size.toLocaleString("en")} bytes`])), memory["in place"].length ? [h("h3", {}, "in place"), list(memory["in place"])] : h("span"));
  }

  timeline() {
    const { timeline, rows: launches, kernels } = this.ledger, timed = timeline.length > 0, width = Math.max(500, this.sheet.clientWidth - 60);
    let spans = timeline;
    if (!timed) { // one after another, as estimated
      let at = 0;
      spans = launches.flatMap((row, k) => { const s = row.kernel < 0 ? null : kernels[row.kernel].estimate; if (s === null) return []; const from = at; at += s * 1e6; return [[k, 0, from, at]]; });
    }
    if (!spans.length) { this.sheet.replaceChildren(h("p", {}, "Times are known of a profile, and estimated when the sizes of the feeds are given.")); return; }
    const end = Math.max(...spans.map((s) => s[3])), threads = Math.max(...spans.map((s) => s[1])) + 1, scale = width / end, H = 34;
    const bars = spans.map(([row, thread, from, to]) => {
      const name = launches[row].text.split("  ")[0], w = Math.max(0.7, (to - from) * scale);
      return el("g", { onclick: () => { if (launches[row].kernel >= 0) this.go.group(kernels[launches[row].kernel].group); } }, el("rect", { class: "bar", x: from * scale, y: thread * H + 16, width: w, height: H - 8 }, el("title", {}, `${name}\n${time((to - from) / 1e6)}`)), w > 60 ? el("text", { class: "type", x: from * scale + 4, y: thread * H + 32 }, clipped(name, Math.floor(w / 6))) : null);
    });
    this.sheet.replaceChildren(h("h2", {}, timed ? `the last run that was profiled: ${time(end / 1e6)} by ${threads} thread${threads > 1 ? "s" : ""}` : `estimated, one launch after another: ${time(end / 1e6)}`), el("svg", { width: width + 4, height: threads * H + 30, id: "times" }, bars));
  }
}
