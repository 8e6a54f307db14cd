// The explorer: what rank, width, scale, variance and law of A do to M_Δ = s² AᵀA - I and to the kernel.
// `compute` is the mathematics, the rest draws it. Nothing is fetched; the state is in the address after the #.
(() => {
  "use strict";
  const { W, H, decades, draw, listed, make, number, rule, slider, spectrum } = window.lorantkPictures;
  const SCALES = { "alpha/r": (alpha, r) => alpha / r, "alpha/sqrt(r)": (alpha, r) => alpha / Math.sqrt(r), 1: () => 1 };
  const SCALE_NAMES = { "alpha/r": "α/r", "alpha/sqrt(r)": "α/√r (rank-stabilised)", 1: "1 (the poster)" };
  // Excess kurtosis of the entries of A; orthonormal rows are a law of the whole matrix.
  const LAWS = { gaussian: 0, "kaiming-uniform": -6 / 5, rademacher: -2, orthonormal: null };
  const LAW_NAMES = { gaussian: "Gaussian", "kaiming-uniform": "Kaiming uniform", rademacher: "random signs", orthonormal: "orthonormal rows" };
  const START = { r: 8, n: 4096, alpha: 8, scale: "alpha/r", variance: 1 / (3 * 4096), law: "kaiming-uniform" };
  const PRESETS = {
    PEFT: {},
    "PEFT, rank-stabilised": { scale: "alpha/sqrt(r)" },
    'PEFT, "gaussian"': { law: "gaussian", variance: 1 / 64 },
    "torchtune, LitGPT, LLaMA-Factory": { alpha: 16 },
    Unsloth: { r: 16, alpha: 16 },
    "diffusers' scripts": { r: 4, alpha: 4, law: "gaussian", variance: 1 / 16 },
    "the printed condition": { r: 1024, scale: "1", law: "gaussian", variance: 0.99 / 4096 },
  };

  // The Tracy-Widom distribution function F of order 1 on a grid: log F = -½ ∫ₛ^∞ (q + (x - s) q²) dx with the solution of
  // q'' = s q + 2 q³ that is Airy's function at infinity (Hastings and McLeod 1980), integrated downwards from s = 6.
  const STEP = 0.005;
  const GRID = [];
  {
    // q, q', ∫ q, ∫ q², ∫ (x - s) q², each integral from s to infinity; at s = 6, from Airy's function.
    let y = [9.94769436025289e-6, -2.4765200397035e-5, 3.88162809481894e-6, 1.95754121952574e-11, 3.81723265900946e-12];
    const slope = (s, [q, p, , square]) => [p, s * q + 2 * q ** 3, -q, -q * q, -square];
    const add = (a, b, h) => a.map((entry, place) => entry + h * b[place]);
    for (let k = 0; k <= 14 / STEP; k++) {
      const s = 6 - k * STEP;
      GRID.push(Math.exp(-(y[2] + y[4]) / 2));
      const a = slope(s, y);
      const b = slope(s - STEP / 2, add(y, a, -STEP / 2));
      const c = slope(s - STEP / 2, add(y, b, -STEP / 2));
      const d = slope(s - STEP, add(y, c, -STEP));
      y = y.map((entry, place) => entry - (STEP / 6) * (a[place] + 2 * b[place] + 2 * c[place] + d[place]));
    }
  }
  function tracyWidom(s) {
    const place = (6 - s) / STEP;
    if (place <= 0) return 1;
    if (place >= GRID.length - 1) return 0;
    const k = Math.floor(place);
    return GRID[k] + (place - k) * (GRID[k + 1] - GRID[k]);
  }

  function compute({ r, n, alpha, scale, variance, law }) {
    const s = SCALES[scale](alpha, r);
    const q = s * s * variance * n;
    const c = s * s * r * variance;
    const ratio = r / n;
    const haar = law === "orthonormal";
    const edges = haar ? [q, q] : [q * (1 - Math.sqrt(ratio)) ** 2, q * (1 + Math.sqrt(ratio)) ** 2];
    // M_Δ ⪯ 0 iff the largest eigenvalue of s² A Aᵀ is at most 1; centring and scale of Ma (2012).
    const a = Math.sqrt(n - 0.5);
    const b = Math.sqrt(r - 0.5);
    const probability = haar ? Number(q <= 1) : tracyWidom((n / q - (a + b) ** 2) / ((a + b) * (1 / a + 1 / b) ** (1 / 3)));
    // Variance of s² |A h|² for an input h of length 1 whose entries have one size.
    const spread = haar ? q * Math.sqrt((2 * r * (n - r)) / (n * n * (n + 2))) : s * s * variance * Math.sqrt(r * (2 + LAWS[law] / n));
    return { s, q, c, ratio, edges, sharp: edges[1], probability, spread, printed: variance < 1 / n };
  }

  function kernel(found) {
    const high = found.c + 2 * found.spread;
    const smallest = Math.max(found.c - 2 * found.spread, found.c / 100);
    const [at, axes, left] = decades(smallest / 2, 2 * Math.max(1, high), ["LoRA's kernel over that of full fine-tuning (dimensionless)"]);
    const low = Math.max(found.c - 2 * found.spread, left);
    return [
      axes,
      draw("rect", { class: "bulk", x: at(low), width: Math.max(at(high) - at(low), 1), y: 105, height: 40 }),
      draw("line", { class: "mean", x1: at(found.c), x2: at(found.c), y1: 92, y2: 158 }),
      draw("text", { x: Math.min(Math.max(at(found.c), 175), W - 175), y: 82, "text-anchor": "middle" }, "mean, ± 2 standard deviations"),
      rule(at, 1, "1: as large as in full fine-tuning", 26),
    ];
  }

  function words(state, found) {
    const below = found.sharp <= 1;
    const first = `The sharp value is ${number(found.sharp)}: ${below ? "at most 1, so that M_Δ is negative semi-definite" : "above 1, so that M_Δ has positive eigenvalues"}`;
    const second = state.law === "orthonormal" ? ", exactly." : `, with probability tending to 1 as the sizes grow; at this size M_Δ ⪯ 0 has probability ${number(found.probability)} (Tracy-Widom, Gaussian entries).`;
    const printed = ` The printed condition, a variance below 1/n, ${found.printed ? "is met" : "is not met"}${found.printed === below ? "." : ", and does not decide."}`;
    return first + second + printed;
  }

  const doubling = (first, last) => Array.from({ length: last - first + 1 }, (_, k) => 2 ** (first + k));
  const between = (first, last) => doubling(first, last).flatMap((value) => [value, 1.5 * value]); // 4, 6, 8, 12, 16, …
  const SLIDERS = {
    n: { label: "width n", ...listed(between(2, 14)) },
    r: { label: "rank r", ...listed([1, 2, 3, ...between(2, 11), 4096]) },
    alpha: { label: "α", ...listed(doubling(-2, 10)) },
    variance: { label: "variance times n", ...listed([0.0001, 0.001, 0.01, 0.03, 0.1, 0.2, 1 / 3, 0.5, 1, 2, 3, 5, 10, 100, 1000]) },
  };
  const CHOICES = { scale: ["scale s", SCALE_NAMES], law: ["law of A", LAW_NAMES] };

  function read(hash) {
    const state = { ...START };
    for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
      if (name === "scale" ? text in SCALES : name === "law" ? text in LAWS : false) state[name] = text;
      else if (name in START && typeof START[name] === "number" && Number(text) > 0 && Number.isFinite(Number(text))) state[name] = Number(text);
    }
    return tidy(state);
  }

  function tidy(state) {
    const n = Math.max(2, Math.round(state.n));
    return { ...state, n, r: Math.min(Math.max(1, Math.round(state.r)), n) };
  }

  function start() {
    const root = document.querySelector(".lorantk-explorer");
    if (!root) return;
    let state = read(location.hash);
    const sliders = {};
    const inputs = {};
    const shown = {};
    const controls = make("div", { className: "controls" });
    for (const [name, options] of Object.entries(SLIDERS)) {
      sliders[name] = slider(`explorer-${name}`, options, (value) => {
        if (name === "variance") update({ variance: value / state.n });
        // A wider layer keeps its variance times n: that is how the libraries draw A.
        else if (name === "n") update({ n: value, variance: (state.variance * state.n) / value });
        else update({ [name]: value });
      });
      controls.append(sliders[name].node);
    }
    for (const [name, [label, options]] of Object.entries(CHOICES)) {
      inputs[name] = make("select", { id: `explorer-${name}` }, ...Object.entries(options).map(([value, text]) => make("option", { value }, text)));
      controls.append(make("div", {}, make("label", { htmlFor: `explorer-${name}` }, label), inputs[name]));
      inputs[name].addEventListener("change", () => update({ [name]: inputs[name].value }));
    }
    const presets = make("div", { className: "presets" });
    for (const [name, change] of Object.entries(PRESETS)) {
      const button = make("button", { type: "button" }, name);
      button.addEventListener("click", () => update({ ...START, ...change }));
      presets.append(button);
    }
    const verdict = make("p", { className: "verdict" });
    verdict.setAttribute("aria-live", "polite");
    const numbers = make("dl", { className: "numbers" });
    for (const [name, label] of [["s", "scale s"], ["q", "q = s²σ²n"], ["sharp", "sharp value"], ["probability", "P(M_Δ ⪯ 0)"], ["c", "mean kernel ratio c = s²rσ²"], ["spread", "its standard deviation"]]) {
      shown[name] = make("dd");
      shown[name].dataset.name = name;
      numbers.append(make("div", {}, make("dt", { innerHTML: label.replace("M_Δ", "M<sub>Δ</sub>") }), shown[name]));
    }
    const pictures = ["spectrum", "kernel"].map((name) => draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", id: `explorer-${name}-picture` }));
    root.replaceChildren(make("h2", {}, "Start from"), presets, make("h2", {}, "Settings"), controls, make("h2", {}, "What follows"), verdict, numbers, ...pictures);

    function show() {
      const found = compute(state);
      for (const [name, { set }] of Object.entries(sliders)) {
        if (name === "variance") set(state.variance * state.n, `${number(state.variance * state.n)} (σ² = ${number(state.variance)})`);
        else set(state[name]);
      }
      for (const name of Object.keys(CHOICES)) inputs[name].value = state[name];
      sliders.alpha.input.disabled = state.scale === "1";
      for (const cell of numbers.querySelectorAll("dd")) {
        cell.textContent = number(found[cell.dataset.name]);
        cell.dataset.value = found[cell.dataset.name];
      }
      verdict.innerHTML = words(state, found).replaceAll("M_Δ", "M<sub>Δ</sub>"); // words and numbers of ours alone
      verdict.dataset.holds = String(found.sharp <= 1);
      const [low, high] = found.edges.map((edge) => number(edge - 1));
      pictures[0].setAttribute("aria-label", `Spectrum of M Delta: ${state.n - state.r} eigenvalues at -1, the other ${state.r} between about ${low} and ${high}.`);
      pictures[1].setAttribute("aria-label", `LoRA's kernel over that of full fine-tuning: mean ${number(found.c)}, standard deviation ${number(found.spread)}.`);
      pictures[0].replaceChildren(...spectrum(state, found));
      pictures[1].replaceChildren(...kernel(found));
    }
    function update(change) {
      state = tidy({ ...state, ...change });
      history.replaceState(null, "", `#${new URLSearchParams(state)}`);
      show();
    }
    window.addEventListener("hashchange", () => {
      state = read(location.hash);
      show();
    });
    window.lorantkExplorer = { compute, presets: PRESETS, start: START };
    show();
  }
  document.addEventListener("DOMContentLoaded", start);
})();
