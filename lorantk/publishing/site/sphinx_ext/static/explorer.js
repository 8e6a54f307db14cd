// The explorer: what rank, width, scale, variance and law of A do to M_Δ = s² AᵀA - I and to the kernel.
// `compute` is the mathematics, the rest draws it. Nothing is fetched; the state is in the address after the #.
(() => {
  "use strict";
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

  // Marchenko-Pastur density of the r eigenvalues that are not exactly -1, at x = the eigenvalue of M_Δ.
  function density(x, { q, ratio, edges: [low, high] }) {
    const y = x + 1;
    return y <= low || y >= high ? 0 : Math.sqrt((high - y) * (y - low)) / (2 * Math.PI * ratio * q * y);
  }

  const NS = "http://www.w3.org/2000/svg";
  function draw(tag, attributes, ...inside) {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  }
  const W = 620;
  const H = 262;
  const LEFT = 20;
  const BOTTOM = 210;
  const number = (value) => (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 10000) ? value.toExponential(2) : String(Number(value.toPrecision(4))));

  function ticks(low, high) {
    const raw = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(Number((k * step).toPrecision(6)));
    return found;
  }

  function axis(low, high, label) {
    const at = (x) => LEFT + ((x - low) / (high - low)) * (W - 2 * LEFT);
    const group = draw("g", {}, draw("line", { x1: LEFT, x2: W - LEFT, y1: BOTTOM, y2: BOTTOM, stroke: "currentColor" }));
    for (const x of ticks(low, high)) {
      group.append(
        draw("line", { x1: at(x), x2: at(x), y1: BOTTOM, y2: BOTTOM + 5, stroke: "currentColor" }),
        draw("text", { x: at(x), y: BOTTOM + 19, "text-anchor": "middle" }, String(x).replace("-", "−")),
      );
    }
    group.append(draw("text", { x: W / 2, y: BOTTOM + 43, "text-anchor": "middle" }, ...label));
    return [at, group];
  }

  function rule(at, x, label, y) {
    const side = at(x) > W / 2 ? -6 : 6;
    return draw(
      "g",
      { class: "limit" },
      draw("line", { x1: at(x), x2: at(x), y1: 14, y2: BOTTOM }),
      draw("text", { x: at(x) + side, y, "text-anchor": side < 0 ? "end" : "start" }, label),
    );
  }

  function spectrum(state, found) {
    const [low, high] = found.edges.map((edge) => edge - 1);
    const right = Math.max(0.25, high + 0.12 * (high + 1));
    const [at, axes] = axis(-1.08 - 0.04 * (right + 1), right, [
      "eigenvalue of M",
      draw("tspan", { dy: 4, "font-size": "75%" }, "Δ"),
      draw("tspan", { dy: -4 }, " (dimensionless)"),
    ]);
    const width = Math.max(high - low, 1e-9);
    const xs = Array.from({ length: 241 }, (_, k) => low + (width * (1 - Math.cos((Math.PI * k) / 240))) / 2);
    const ys = xs.map((x) => density(x, found));
    const narrow = state.law === "orthonormal" || at(high) - at(low) < 3;
    const top = Math.max(...ys, 1e-12);
    const points = xs.map((x, k) => `${at(x).toFixed(1)},${(BOTTOM - (160 * ys[k]) / top).toFixed(1)}`);
    const bulk = narrow
      ? draw("rect", { class: "bulk", x: at(low) - 2, width: 4 + at(high) - at(low), y: BOTTOM - 160, height: 160 })
      : draw("polygon", { class: "bulk", points: `${at(low)},${BOTTOM} ${points.join(" ")} ${at(high)},${BOTTOM}` });
    const atom = draw("g", {});
    if (state.r < state.n) {
      atom.append(
        draw("rect", { class: "atom", x: at(-1) - 3, width: 6, y: 50, height: BOTTOM - 50 }),
        draw("text", { x: at(-1) + 8, y: 46 }, `${state.n - state.r} eigenvalues at −1`),
      );
    }
    return [axes, atom, bulk, rule(at, 0, "above 0: LoRA's kernel is larger", 26)];
  }

  function kernel(found) {
    const [low, high] = [Math.max(0, found.c - 2 * found.spread), found.c + 2 * found.spread];
    const [at, axes] = axis(0, 1.15 * Math.max(1, high), ["LoRA's kernel over that of full fine-tuning (dimensionless)"]);
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

  function make(tag, attributes = {}, ...inside) {
    const node = document.createElement(tag);
    Object.assign(node, attributes);
    node.append(...inside);
    return node;
  }

  // Sliders move on a logarithmic scale: `to` turns their position into a value, `from` a value into a position.
  const power = (base) => ({ to: (x) => base ** x, from: (value) => Math.log(value) / Math.log(base) });
  const whole = { to: (x) => Math.round(2 ** x), from: (value) => Math.log2(value) };
  const SLIDERS = {
    n: { label: "width n", min: 4, max: 15, step: 0.25, ...whole },
    r: { label: "rank r", min: 0, max: 12, step: 0.25, ...whole },
    alpha: { label: "α", min: -2, max: 10, step: 0.25, ...power(2) },
    variance: { label: "variance times n", min: -4, max: 4, step: 0.05, ...power(10) },
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
    const inputs = {};
    const shown = {};
    const controls = make("div", { className: "controls" });
    for (const [name, { label, min, max, step }] of Object.entries(SLIDERS)) {
      inputs[name] = make("input", { type: "range", min, max, step, id: `explorer-${name}` });
      shown[name] = make("output", { htmlFor: `explorer-${name}` });
      controls.append(make("div", {}, make("label", { htmlFor: `explorer-${name}` }, label), inputs[name], shown[name]));
      inputs[name].addEventListener("input", () => {
        const value = SLIDERS[name].to(Number(inputs[name].value));
        if (name === "variance") update({ variance: value / state.n });
        // A wider layer keeps its variance times n: that is how the libraries draw A.
        else if (name === "n") update({ n: value, variance: (state.variance * state.n) / value });
        else update({ [name]: value });
      });
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
      for (const [name, { from, min, max }] of Object.entries(SLIDERS)) {
        const value = name === "variance" ? state.variance * state.n : state[name];
        inputs[name].value = Math.min(Math.max(from(value), min), max);
        shown[name].value = name === "variance" ? `${number(value)} (σ² = ${number(state.variance)})` : number(value);
        inputs[name].setAttribute("aria-valuetext", shown[name].value);
      }
      for (const name of Object.keys(CHOICES)) inputs[name].value = state[name];
      inputs.alpha.disabled = state.scale === "1";
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
