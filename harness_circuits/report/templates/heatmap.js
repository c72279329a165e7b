"use strict";
// Circuits of each task on all tasks: two heatmaps, faithfulness and overlap. Without it, pages show tables.
const MATRICES = {
  faithfulness: "faithfulness",
  random: "faithfulness of random circuits",
  above_random: "above random circuits: 0 as they, 1 as the model",
};
const SHADES = ["#440154", "#3B528B", "#21918C", "#5EC962", "#FDE725"]; // viridis
const CELL = 46;

class TransferView {
  constructor(parent, data) {
    Object.assign(this, { data, at: 0, what: "faithfulness" });
    const choice = (options, change) => {
      const select = make("select", { onchange: () => { change(select.value); this.refresh(); } });
      options.forEach(([value, text]) => select.append(new Option(text, value)));
      return select;
    };
    const shown = Object.entries(MATRICES).filter(([name]) => data.matrices[0][name] !== null);
    parent.append(make("div", { className: "bar" },
      make("label", {}, "circuits ", choice(data.matrices.map((one, at) => [at, one.title]), (value) => { this.at = Number(value); })),
      make("label", {}, "shown ", choice(shown, (value) => { this.what = value; }))));
    this.charts = ["left", "right"].map(() => {
      const chart = make("div", { className: "chart heatmap" });
      parent.append(make("div", { className: "wide" }, chart));
      return this.prepare(chart);
    });
    darkScheme.addEventListener("change", () => this.refresh());
    this.refresh();
  }

  prepare(element) {
    const longest = Math.max(...this.data.tasks.map((name) => name.length));
    this.label = Math.min(220, 12 + 7 * longest);
    element.style.minWidth = `${this.label + 20 + CELL * this.data.tasks.length}px`;
    element.style.height = `${0.87 * this.label + 60 + CELL * this.data.tasks.length}px`;
    const chart = echarts.init(element, null, { renderer: "svg" });
    new ResizeObserver(() => chart.resize()).observe(element);
    return chart;
  }

  refresh() {
    const matrix = this.data.matrices[this.at];
    this.draw(this.charts[0], MATRICES[this.what], matrix[this.what], this.what === "faithfulness" ? matrix : null, "circuit of", "on");
    this.draw(this.charts[1], "overlap, corrected for chance", matrix.corrected_jaccard, null, "circuits of", "and");
  }

  draw(chart, title, values, ends, row, column) {
    const ink = getComputedStyle(document.body).color;
    const { tasks } = this.data;
    const cells = values.flatMap((own, y) => own.map((value, x) => ({
      value: [x, y, value],
      // Dark numbers on the light end of the scale; what lies beyond the scale has the colour of its end.
      label: { color: value > 0.6 ? "#1A1A1A" : "#FFFFFF" },
    })));
    const axis = { type: "category", data: tasks, axisTick: { show: false }, splitArea: { show: false },
      axisLabel: { color: ink, interval: 0, width: this.label - 10, overflow: "truncate" } };
    chart.setOption({
      animation: false,
      aria: { enabled: true, label: { description: `${title}: ${tasks.length} by ${tasks.length} tasks; the numbers stand in the table below` } },
      title: { text: title, textStyle: { color: ink, fontSize: 14 } },
      grid: { left: this.label, right: 10, top: 34, bottom: 0.87 * this.label + 20 },
      xAxis: { ...axis, axisLabel: { ...axis.axisLabel, rotate: 60 } },
      yAxis: { ...axis, inverse: true },
      visualMap: { min: 0, max: 1, show: false, inRange: { color: SHADES } },
      tooltip: { confine: true, formatter: ({ value: [x, y, value] }) => {
        const band = ends && ends.ci95_low[y][x] !== null ? ` [${ends.ci95_low[y][x].toFixed(3)}, ${ends.ci95_high[y][x].toFixed(3)}]` : "";
        return `${row} ${escapeHTML(tasks[y])}<br>${column} ${escapeHTML(tasks[x])}<br>${value.toFixed(3)}${band}`;
      } },
      series: [{ type: "heatmap", data: cells, label: { show: true, formatter: ({ value }) => value[2].toFixed(2) } }],
    }, true);
  }
}

document.querySelectorAll(".heatmaps").forEach(async (element) => {
  const data = (await packed).views[element.dataset.view];
  element.view = new TransferView(element, data);
});
