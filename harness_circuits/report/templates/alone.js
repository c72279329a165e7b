"use strict";
document.querySelectorAll("[data-view]").forEach(showCircuit);
