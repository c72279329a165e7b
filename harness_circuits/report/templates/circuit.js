"use strict";
// A circuit over sizes: curve, drawing, units and pairs, tied together. Without it, pages show tables.
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const KINDS = { q: "#2A88CC", k: "#D9650B", v: "#0BA077", mlp: "#858585", logits: "#BC52AC" };
const GROUNDS = { input: "#F0E442", head: "#DCEBF7", mlp: "#E6E6E6", logits: "#F3D9EE" };
const SERIES = { absolute: "#2A88CC", signed: "#D9650B" };
const escapeHTML = (text) => echarts.format.encodeHTML(text);
const digits = (value, n = 3) => (value === null ? "-" : value.toPrecision(n).replace("e", " e"));
const interval = (curve, at) => (curve.low[at] === null ? "" : ` [${curve.low[at].toFixed(3)}, ${curve.high[at].toFixed(3)}]`);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

class CircuitView {
  constructor(parent, data) {
    Object.assign(this, { data, names: Object.keys(data.series), chosen: null, pinned: new Set(), among: false });
    this.series = this.names[0];
    this.at = this.firstDrawn();
    this.kinds = new Set(Object.keys(KINDS));
    [this.sign, this.from, this.to] = ["all", 0, data.n_layers - 1];
    this.controls(parent);
    this.charts();
    this.refresh();
  }

  // The largest circuit of which every edge is drawn.
  firstDrawn() {
    return Math.max(0, this.sizes().findLastIndex((size) => size.edges > 0 && size.edges <= this.data.most));
  }

  sizes() { return this.data.series[this.series]; }

  controls(parent) {
    const labelled = (text, input) => make("label", {}, `${text} `, input);
    const choice = (options, change) => {
      const select = make("select", { onchange: () => { change(select.value); this.refresh(); } });
      options.forEach(([value, text]) => select.append(new Option(text, value)));
      return select;
    };
    this.slider = make("input", { type: "range", min: 0, value: this.at, className: "size",
      oninput: () => { this.at = Number(this.slider.value); this.refresh(); } });
    this.said = make("output", { className: "said" });
    const bar = make("div", { className: "bar" });
    if (this.names.length > 1) {
      bar.append(labelled("ranked by", choice(this.names.map((n) => [n, this.data.titles[n]]),
        (value) => { this.series = value; this.at = Math.min(this.at, this.sizes().length - 1); })));
    }
    bar.append(labelled("size", this.slider), this.said);
    const filters = make("div", { className: "bar" });
    Object.keys(KINDS).forEach((kind) => {
      const box = make("input", { type: "checkbox", checked: true, onchange: () => {
        this.kinds[box.checked ? "add" : "delete"](kind); this.refresh(); } });
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = KINDS[kind];
      filters.append(make("label", {}, box, swatch, ` into ${kind}`));
    });
    if (this.data.scored) {
      filters.append(labelled("sign", choice([["all", "all"], ["+", "raises the metric"],
        ["-", "lowers it (dashed)"]], (value) => { this.sign = value; })));
    }
    const layers = [...Array(this.data.n_layers).keys()].map((n) => [n, n]);
    this.amongBox = make("input", { type: "checkbox", onchange: () => { this.among = this.amongBox.checked; this.refresh(); } });
    this.amongLabel = make("label", { hidden: true }, this.amongBox, " only between pinned units");
    const from = choice(layers, (value) => { this.from = Number(value); });
    const to = choice(layers, (value) => { this.to = Number(value); });
    to.value = this.to;
    filters.append(labelled("layers", from), labelled("to", to), this.amongLabel);
    this.curve = make("div", { className: "chart curve" });
    this.graph = make("div", { className: "chart graph" });
    this.note = make("p", { className: "note" });
    this.unit = make("div", { className: "unit" });
    this.units = make("div", { className: "units" });
    this.pairs = make("div", { className: "pairs" });
    parent.append(bar, ...(this.data.curves ? [this.curve] : []));
    if (this.data.nodes.length) {
      parent.append(filters, this.note, make("div", { className: "wide" }, this.graph),
        make("h4", { textContent: "Units" }), this.units, this.unit, this.pairs);
    }
  }

  charts() {
    if (this.data.curves) {
      this.curveChart = echarts.init(this.curve, null, { renderer: "svg" });
      this.curveChart.on("click", (event) => {
        const series = event.seriesId.replace(/-without$/, "");
        if (series in this.data.series) { this.series = series; this.at = event.dataIndex; }
        this.refresh();
      });
    }
    const resize = new ResizeObserver(() => { this.curveChart?.resize(); this.graphChart?.resize(); });
    resize.observe(this.curve);
    darkScheme.addEventListener("change", () => this.refresh());
    if (!this.data.nodes.length) return;
    const rows = new Map();
    this.data.nodes.forEach((node) => rows.set(node.y, [...(rows.get(node.y) ?? []), node.x]));
    const heights = [...rows.keys()];
    // As wide as it takes for the closest two of a row to stand side by side.
    const gaps = [...rows.values()].flatMap((xs) => xs.sort((a, b) => a - b).slice(1).map((x, at) => x - xs[at]));
    const xs = this.data.nodes.map((node) => node.x);
    const span = Math.max(...xs) - Math.min(...xs) + 1.2;
    this.graph.style.minWidth = `${Math.min(2400, Math.max(300, 58 * span / Math.min(span, ...gaps.filter((gap) => gap > 0))))}px`;
    this.graph.style.height = `${Math.max(260, Math.min(1200, (Math.max(...heights) + 1) * 30))}px`;
    this.graphChart = echarts.init(this.graph, null, { renderer: "svg" });
    this.graphChart.on("click", { dataType: "node" }, (event) => this.clicked(event.data.name, event.event.event));
    resize.observe(this.graph);
  }

  // Edges of the circuit at hand that the filters let through.
  edges() {
    const inLayers = (node) => node.layer === null || (this.from <= node.layer && node.layer <= this.to);
    return this.data.edges.filter((edge) => edge.sizes[this.series]?.includes(this.at)
      && this.kinds.has(edge.kind)
      && (this.sign === "all" || (this.sign === "-") === (edge.score < 0))
      && inLayers(this.data.nodes[edge.a]) && inLayers(this.data.nodes[edge.b])
      && (!this.among || [edge.a, edge.b].every((at) => this.pinned.has(this.data.nodes[at].name))));
  }

  // A click chooses one unit, until the next; with shift, control or command it pins any number.
  clicked(name, event) {
    if (event.shiftKey || event.ctrlKey || event.metaKey) this.pin(name);
    else this.choose(name);
  }

  choose(name) { this.chosen = this.chosen === name ? null : name; this.refresh(); }

  pin(name) {
    if (!this.pinned.delete(name)) this.pinned.add(name);
    if (!this.pinned.size) this.among = this.amongBox.checked = false;
    this.amongLabel.hidden = !this.pinned.size;
    this.refresh();
  }

  marked(name) { return name === this.chosen || this.pinned.has(name); }

  refresh() {
    const size = this.sizes()[this.at];
    this.slider.max = this.sizes().length - 1;
    this.slider.value = this.at;
    const curve = this.data.curves?.[this.series];
    this.said.textContent = `${size.name}: ${size.edges} ${this.data.units}`
      + (curve ? `, faithfulness ${curve.value[this.at].toFixed(3)}${interval(curve, this.at)}, accuracy ${curve.accuracy[this.at].toFixed(2)}` : "");
    const without = this.data.without?.[this.series];
    if (without) this.said.textContent += `, without it ${without.value[this.at].toFixed(3)}${interval(without, this.at)}`;
    this.slider.setAttribute("aria-valuetext", this.said.textContent);
    if (this.curveChart) this.drawCurve();
    if (!this.graphChart) return;
    const shown = this.edges();
    const cut = size.edges > this.data.most ? `Drawn are the ${this.data.most} strongest of ${size.edges} ${this.data.units}. ` : "";
    this.note.textContent = `${cut}${shown.length} ${this.data.units} shown.` + (this.data.scored ? " Width by |score|." : "");
    this.drawGraph(shown);
    this.listUnits(shown);
    this.listPairs();
  }

  withoutTitle(name) { return `the model without it, ${this.data.titles[name]}`; }

  ink() { return getComputedStyle(document.body).color; }

  drawGraph(shown) {
    const most = Math.max(...this.data.edges.map((edge) => Math.abs(edge.score ?? 1)), 1e-30);
    const used = new Set(shown.flatMap((edge) => [edge.a, edge.b]));
    const touches = (edge) => [edge.a, edge.b].some((at) => this.marked(this.data.nodes[at].name));
    const border = (name) => (name === this.chosen ? "#D00000" : this.pinned.has(name) ? "#0A5C9E" : "#1A1A1A");
    const nodes = this.data.nodes.map((node, at) => ({
      name: node.name, value: [node.x, node.y], symbol: "roundRect",
      symbolSize: [Math.max(34, node.name.length * 7 + 8), 20],
      itemStyle: { color: GROUNDS[node.kind], borderColor: border(node.name),
        borderWidth: this.marked(node.name) ? 3 : 1, opacity: used.has(at) || node.layer === null ? 1 : 0 },
      label: { show: used.has(at) || node.layer === null, formatter: node.name, color: "#1A1A1A", fontSize: 11 },
      silent: !(used.has(at) || node.layer === null),
    }));
    const links = shown.map((edge) => {
      const strength = this.data.scored ? Math.abs(edge.score) / most : 0.1;
      const near = Math.abs(this.data.nodes[edge.a].x - this.data.nodes[edge.b].x) < 0.6;
      return { source: edge.a, target: edge.b, text: edge.name, score: edge.score,
        lineStyle: { color: KINDS[edge.kind], width: 0.6 + 4 * Math.sqrt(strength), type: edge.score < 0 ? "dashed" : "solid",
          opacity: (this.chosen === null && !this.pinned.size) || touches(edge) ? 0.45 + 0.5 * Math.sqrt(strength) : 0.08,
          curveness: (near ? 0.2 : 0.05) + { q: 0, k: 0.05, v: -0.05, mlp: 0, logits: 0 }[edge.kind] } };
    });
    const x = this.data.nodes.map((node) => node.x);
    const y = this.data.nodes.map((node) => node.y);
    const axis = (values) => ({ type: "value", show: false, min: Math.min(...values) - 0.6, max: Math.max(...values) + 0.6 });
    this.graphChart.setOption({
      animation: false, xAxis: axis(x), yAxis: axis(y), grid: { left: 8, right: 8, top: 4, bottom: 4 },
      tooltip: { confine: true, formatter: (event) => this.tooltip(event) },
      series: [{ type: "graph", id: "circuit", coordinateSystem: "cartesian2d", layout: "none", data: nodes, links,
        emphasis: { focus: "adjacency", lineStyle: { opacity: 1 } } }],
    }, true);
  }

  tooltip(event) {
    if (event.dataType === "edge") {
      return escapeHTML(event.data.text) + (event.data.score === null ? "" : `: ${digits(event.data.score)}`);
    }
    const node = this.data.nodes.find((other) => other.name === event.name);
    return escapeHTML(event.name) + (node.score === null ? "" : `: ${digits(node.score)}`);
  }

  drawCurve() {
    const ink = this.ink();
    const xs = (name) => this.data.series[name].map((size) => size.fraction);
    // The interval of a curve: nothing up to its lower end, and stacked on it a coloured band.
    const band = (name, id, curve) => {
      const line = { type: "line", symbol: "none", silent: true, lineStyle: { opacity: 0 }, stack: id, stackStrategy: "all", tooltip: { show: false } };
      return curve.low[0] === null ? [] : [
        { ...line, id: `${id}-low`, data: xs(name).map((x, i) => [x, curve.low[i]]) },
        { ...line, id: `${id}-band`, data: xs(name).map((x, i) => [x, curve.high[i] - curve.low[i]]), areaStyle: { color: SERIES[name], opacity: 0.18 } }];
    };
    const points = (name, curve) => xs(name).map((x, i) => ({ value: [x, curve.value[i]], symbolSize: name === this.series && i === this.at ? 14 : 7 }));
    const line = (y) => ({ silent: true, symbol: "none", label: { show: false }, data: [{ yAxis: y }], lineStyle: { color: "gray", type: "dotted" } });
    const series = Object.entries(this.data.curves).flatMap(([name, curve]) => [...band(name, name, curve),
      { type: "line", id: name, name: this.data.titles[name], color: SERIES[name], data: points(name, curve),
        symbol: "circle", triggerLineEvent: false, markLine: line(1) }]);
    Object.entries(this.data.without ?? {}).forEach(([name, curve]) => series.push(...band(name, `${name}-without`, curve),
      { type: "line", id: `${name}-without`, name: this.withoutTitle(name), color: SERIES[name], data: points(name, curve),
        symbol: "diamond", lineStyle: { type: "dashed" }, triggerLineEvent: false, markLine: line(0) }));
    this.curveChart.setOption({
      animation: false, grid: { left: 54, right: 16, top: 34, bottom: 44 },
      legend: { top: 0, bottom: "auto", textStyle: { color: ink }, type: "scroll", pageTextStyle: { color: ink }, pageIconColor: ink, data: series.filter((one) => one.name).map((one) => one.name) },
      tooltip: { confine: true, formatter: (event) => `${escapeHTML(event.seriesName)}<br>size ${digits(event.value[0])}: ${event.value[1].toFixed(3)}` },
      xAxis: { type: "log", name: "circuit size (fraction of all units)", nameLocation: "middle", nameGap: 26, axisLabel: { color: ink, formatter: (x) => String(x) }, nameTextStyle: { color: ink }, splitLine: { show: false } },
      yAxis: { type: "value", name: "faithfulness", nameLocation: "middle", nameGap: 32, axisLabel: { color: ink }, nameTextStyle: { color: ink }, splitLine: { lineStyle: { opacity: 0.25 } } },
      series,
    }, true);
  }

  listUnits(shown) {
    const weight = new Map();
    shown.forEach((edge) => [edge.a, edge.b].forEach((at) => weight.set(at, (weight.get(at) ?? 0) + Math.abs(edge.score ?? 1))));
    const order = [...weight.keys()].sort((a, b) => weight.get(b) - weight.get(a));
    const focus = (text) => [...this.units.children].find((button) => button.textContent === text)?.focus();
    this.units.replaceChildren(...order.map((at) => {
      const { name } = this.data.nodes[at];
      return make("button", { textContent: name, ariaPressed: String(this.marked(name)),
        title: "with shift: pin", className: this.pinned.has(name) ? "pinned" : "",
        onclick: (event) => { this.clicked(name, event); focus(name); } });
    }));
    const table = (title, edges) => {
      const rows = edges.sort((a, b) => Math.abs(b.score ?? 0) - Math.abs(a.score ?? 0)).map((edge) =>
        make("tr", {}, make("td", { textContent: edge.name }), make("td", { className: "value", textContent: digits(edge.score) })));
      return make("table", {}, make("caption", { textContent: `${title} (${rows.length})` }), make("tbody", {}, ...rows));
    };
    const told = [...new Set([...(this.chosen === null ? [] : [this.chosen]), ...this.pinned])];
    this.unit.replaceChildren(...told.map((name) => {
      const at = this.data.nodes.findIndex((node) => node.name === name);
      const pin = make("button", { className: "pin", textContent: this.pinned.has(name) ? `Unpin ${name}` : `Pin ${name}`,
        onclick: () => { this.pin(name); focus(name); } });
      return make("div", { className: "tables" }, pin, table(`Into ${name}`, shown.filter((edge) => edge.b === at)),
        table(`Out of ${name}`, shown.filter((edge) => edge.a === at)));
    }));
  }

  listPairs() {
    const { pairs } = this.data;
    if (!pairs) return;
    const value = (pair) => pair.circuits[this.series][this.at];
    const worst = [...pairs.rows].sort((a, b) => Math.abs(value(b) - b.full) - Math.abs(value(a) - a.full)).slice(0, pairs.shown);
    // Where the corruption all but leaves a pair's metric as it is, shares of the difference say nothing.
    const gaps = pairs.rows.map((pair) => Math.abs(pair.full - pair.empty));
    const least = Math.max(1e-6, 0.05 * gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length);
    const cells = (pair) => {
      const gap = pair.full - pair.empty;
      const share = Math.abs(gap) < least ? "-" : ((value(pair) - pair.empty) / gap).toFixed(2);
      return [pair.clean, pair.corrupted, pair.correct, pair.incorrect].map((text) => make("td", { textContent: text ?? "" }))
        .concat([pair.full, value(pair), pair.empty].map((n) => make("td", { className: "value", textContent: n.toFixed(2) })),
          make("td", { className: "value", textContent: share }));
    };
    const head = ["clean", "corrupted", "right", "wrong", "model", "circuit", "corrupted run", "f of the pair"];
    this.pairs.replaceChildren(make("h4", { textContent: `Pairs that the circuit changes most: ${worst.length} of ${pairs.n}` }),
      make("div", { className: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { textContent: text })))),
        make("tbody", {}, ...worst.map((pair) => make("tr", {}, ...cells(pair)))))));
  }
}

// The library and the data stand in the page compressed; the policy knows the library by its hash.
const unpack = async (id) => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
const packed = (async () => {
  const [code, data] = await Promise.all([unpack("echarts"), unpack("views")]);
  document.head.append(make("script", { textContent: code }));
  return JSON.parse(data);
})();
// Edges and pairs stand in the data as rows, to be short.
const unfold = (data, texts) => {
  const names = Object.keys(data.series);
  const bySeries = (values) => Object.fromEntries(names.map((name, at) => [name, values[at]]));
  const told = (a, b, kind) => `${data.nodes[a].name}->${data.nodes[b].name}${"qkv".includes(kind) ? `<${kind}>` : ""}`;
  const edges = data.edges.map(([a, b, kind, score, sizes, name]) =>
    ({ a, b, kind, score, sizes: bySeries(sizes), name: name ?? told(a, b, kind) }));
  const rows = data.pairs?.rows.map(([text, full, empty, circuits]) =>
    ({ ...texts[text], full, empty, circuits: bySeries(circuits) }));
  return { ...data, edges, pairs: data.pairs && { ...data.pairs, rows } };
};
// Each kind's first table is open, and those behind it (matrices, all settings) can be opened.
const evidenceTable = ({ columns, rows, title }) => {
  const cells = (tag, texts) => make("tr", {}, ...texts.map((text) => make(tag, { textContent: text, className: text.length > 24 ? "long" : "" })));
  const table = make("div", { className: "wide" }, make("table", {}, make("thead", {}, cells("th", columns)),
    make("tbody", {}, ...rows.map((row) => cells("td", row)))));
  return title ? make("details", {}, make("summary", { textContent: title }), table) : table;
};
const showEvidence = (kinds) => make("section", { className: "evidence" }, make("h4", { textContent: "Evidence" }),
  ...kinds.map(({ kind, says, tables, lines, note }) => make("section", {}, make("h5", { textContent: kind }),
    make("p", { textContent: says }), ...tables.map(evidenceTable), ...lines.map((text) => make("p", { className: "line", textContent: text })),
    make("p", { className: "over", textContent: note }))));
const showFacts = (facts) => make("dl", {}, ...Object.entries(facts).map(([name, value]) =>
  make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
const showCircuit = async (element) => {
  if (element.dataset.shown) return;
  element.dataset.shown = "true";
  const { texts, views } = await packed;
  const data = unfold(views[element.dataset.view], texts);
  if (data.why_not) element.append(make("p", { textContent: data.why_not }));
  element.view = new CircuitView(element, data);
  if (data.evidence) element.append(showEvidence(data.evidence));
  if (data.facts) element.append(showFacts(data.facts));
};
