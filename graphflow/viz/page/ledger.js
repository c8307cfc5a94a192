// The page: tabs, slider, search and keys; what is clicked in one part shows in the others.
"use strict";

const by = (id) => document.getElementById(id);
const TABS = { graph: "Graph", kernels: "Kernels", memory: "Memory", timeline: "Time" };
const LEGEND = ["placeholder", "variable", "constant", "parameter", "forward", "gradient", "update"];

async function main() {
  const started = performance.now(), ledger = await unpack(by("data").textContent), { stages } = ledger, last = stages.length - 1;
  const state = { stage: 0, before: false, mode: "scopes", tab: "graph", picking: null };
  by("title").textContent = ledger.title;
  by("slider").max = String(last);

  const shown = () => (state.before && state.stage > 0 ? stages[state.stage - 1] : stages[state.stage]);
  const marks = () => {
    const stage = stages[state.stage], found = new Map(), put = (keys, mark) => keys.forEach((key) => found.set(key, mark));
    if (state.stage === 0 || stage.name === "groups") return found;
    put(stage.changed, "changed");
    if (state.before) put(stage.gone, "gone"); else put(stage.fresh, "new");
    return found;
  };

  const graph = new Graph(by("graph"), {
    select: (item, shift) => select(item, shift),
    caption: (number) => panels.caption(number),
    opened: (count) => { by("foot").lastChild.textContent = `${count} boxes shown of ${shown().boxes.length} nodes`; },
  });
  const panels = new Panels(by("panel"), by("sheet"), ledger, {
    node: (key) => go(key), before: (key) => { state.before = true; return update().then(() => go(key)); },
    group: (number) => { graph.selected = null; panels.group(number); }, marked: (key) => marks().get(key),
    why: (key) => { state.picking = key; say("click the node that it is not fused with"); },
    named: (name) => { const box = shown().boxes.find((b) => b.name === name || name.startsWith(`${b.name} `)); if (box) tab("graph").then(() => go(box.key)); },
  });

  const say = (text) => { by("note").hidden = !text; by("note").textContent = text || ""; };

  function select(item, shift) {
    const key = item && item.box ? item.box.key : null, first = shift && graph.selected && graph.selected.box ? graph.selected.box.key : state.picking;
    if (key !== null && first && first !== key && stages[state.stage].name === "groups") {
      state.picking = null; say("");
      panels.why(shown(), first, key);
      return;
    }
    graph.selected = item;
    graph.mark();
    if (!item) panels.stage(state.stage); else if (item.box) panels.node(shown(), item.box); else panels.group(item.group);
  }

  async function go(key) {
    if (state.tab !== "graph") await tab("graph");
    if (!(await graph.reveal(key))) return;
    select(graph.nest.leaves.get(key));
  }

  async function update() {
    const stage = stages[state.stage], before = stages[state.stage - 1];
    by("slider").value = String(state.stage);
    by("before").disabled = state.stage === 0;
    by("before").checked = state.before;
    by("mode").value = state.mode;
    by("stage").replaceChildren(stage.name, h("small", {}, before && stage.name !== "groups" ? `${before.boxes.length} → ${stage.boxes.length} nodes` : `${stage.boxes.length} nodes`));
    graph.selected = null;
    panels.stage(state.stage);
    await graph.show(shown(), marks(), state.mode);
  }

  function move(stage) {
    state.stage = Math.max(0, Math.min(last, stage));
    if (state.stage !== last) state.mode = "scopes";
    if (state.stage === 0) state.before = false;
    return update();
  }

  async function tab(name) {
    state.tab = name;
    for (const button of by("tabs").children) button.setAttribute("aria-selected", String(button.dataset.tab === name));
    by("sheet").hidden = name === "graph";
    by("bar").hidden = name !== "graph";
    if (name !== "graph") panels[name]();
  }

  // --- search ---

  let at = -1, found = [];
  function search() {
    const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (box) => `${box.name} ${box.op} ${box.application} ${box.type} ${box.location}`.toLowerCase();
    found = words.length ? shown().boxes.filter((box) => words.every((word) => text(box).includes(word))).slice(0, 60) : [];
    at = found.length ? 0 : -1;
    by("found").hidden = !words.length;
    by("found").replaceChildren(...(found.length ? found.map((box, k) => h("li", { class: k === at ? "at" : "", onpointerdown: () => pick(k) }, h("span", { class: "mono" }, ending(box.name, 40)), h("small", {}, `${box.op}  ${box.type}`))) : [h("li", { class: "soft" }, "nothing found")]));
  }
  function pick(k) { if (!found[k]) return; by("found").hidden = true; by("search").blur(); go(found[k].key); }

  // --- wiring ---

  for (const [name, label] of Object.entries(TABS)) by("tabs").append(h("button", { "data-tab": name, role: "tab", onclick: () => tab(name) }, label));
  const kinds = new Set(stages.flatMap((stage) => stage.boxes.map((box) => box.kind)));
  for (const kind of LEGEND) if (kinds.has(kind)) { const swatch = h("i"); swatch.style.background = `var(--${kind})`; swatch.style.borderColor = `var(--${kind}-line)`; by("foot").append(h("span", {}, swatch, kind)); }
  by("foot").append(h("span", { class: "soft" }, ledger["made by"]), h("span", { class: "gap" }), h("span"));
  by("slider").addEventListener("input", () => move(Number(by("slider").value)));
  by("back").addEventListener("click", () => move(state.stage - 1));
  by("next").addEventListener("click", () => move(state.stage + 1));
  by("before").addEventListener("change", () => { state.before = by("before").checked; update(); });
  by("mode").addEventListener("change", () => { state.mode = by("mode").value; if (state.mode === "kernels") { state.stage = last; state.before = false; } update(); });
  by("close").addEventListener("click", () => graph.closeAll());
  by("fit").addEventListener("click", () => graph.fit());
  by("search").addEventListener("input", search);
  by("search").addEventListener("blur", () => setTimeout(() => { by("found").hidden = true; }, 150));
  by("search").addEventListener("keydown", (e) => {
    if (e.key === "Enter") pick(at); else if (e.key === "Escape") by("search").blur();
    else if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      at = Math.max(0, Math.min(found.length - 1, at + (e.key === "ArrowDown" ? 1 : -1)));
      [...by("found").children].forEach((li, k) => li.classList.toggle("at", k === at));
    }
  });
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  by("theme").addEventListener("click", () => { document.documentElement.dataset.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark"; });
  window.addEventListener("keydown", (e) => {
    if (e.target.tagName === "INPUT" && e.target.type === "search") return;
    if (e.key === "/") { e.preventDefault(); by("search").focus(); by("search").select(); }
    else if (e.key === "ArrowRight" && e.target.id !== "slider") move(state.stage + 1);
    else if (e.key === "ArrowLeft" && e.target.id !== "slider") move(state.stage - 1);
    else if (e.key === "f") graph.fit(); else if (e.key === "Escape") { state.picking = null; say(""); select(null); }
  });
  tab("graph");
  await update();
  document.body.dataset.ready = String(Math.round(performance.now() - started)); // milliseconds until it could be used
}

main().catch((error) => { document.body.dataset.failed = String(error); by("panel").textContent = `This page could not be read: ${error}`; });
