"use strict";
// Draws the figures of the page with plotly, in the colours of the reader's theme.
const charts = JSON.parse(document.getElementById("charts").textContent);
const themes = JSON.parse(document.getElementById("themes").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function drawChart(element) {
  const figure = charts[element.dataset.run][element.dataset.chart];
  const layout = { ...figure.layout, template: { layout: themes[dark.matches ? "dark" : "light"] } };
  const ofWidth = layout.width === undefined;
  Plotly.react(element, figure.data, layout, { responsive: ofWidth, displaylogo: false });
}

function drawChartsIn(parent) {
  parent.querySelectorAll(".chart").forEach(drawChart);
}

dark.addEventListener("change", () => drawChartsIn(document));
drawChartsIn(document);
