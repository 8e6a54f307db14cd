// Small pictures inside chapters, with sliders. Each kind has `compute`, the mathematics, and `pictures`, which draws it.
(() => {
  "use strict";
  const { W, H, LEFT, BOTTOM, RISE, axis, density, draw, listed, make, number, power, rule, slider, spectrum, upright } = window.lorantkPictures;
  const INSET = 58; // room for the numbers of a scale at the left

  function curve(name, xs, ys, at, top) {
    const points = xs.map((x, k) => `${at(x).toFixed(1)},${(BOTTOM - (RISE * ys[k]) / top).toFixed(1)}`);
    return draw("polyline", { class: `curve ${name}`, points: points.join(" ") });
  }
  function label(x, y, text, name = "", anchor = "start") {
    return draw("text", { x, y, class: name, "text-anchor": anchor }, text);
  }

  // Cosine of A u and A v for a Gaussian A of r rows and u, v of cosine ρ: Fisher's law of a correlation of r pairs with mean 0.
  const cosines = {
    sliders: {
      rank: { label: "rank r", ...listed([1, 2, 4, 8, 16, 32, 64, 128]) },
      rho: { label: "cosine ρ before", min: 0, max: 0.95, step: 0.05, to: Number, from: Number },
    },
    start: { rank: 8, rho: 0 },
    compute({ rank, rho }) {
      if (rank === 1) return { meanSquare: 1, same: 0.5 + Math.asin(rho) / Math.PI, xs: [], ys: [] };
      const count = 400;
      const angles = Array.from({ length: count + 1 }, (_, k) => -Math.PI / 2 + (Math.PI * k) / count);
      // The density times cos φ at R = sin φ, without its constant, which the integral gives.
      const weight = (angle) => {
        const R = Math.sin(angle);
        let term = 1;
        let sum = 1;
        for (let k = 0; k < 5000 && term > 1e-14 * sum; k++) {
          term *= ((k + 0.5) ** 2 / ((rank + 0.5 + k) * (k + 1))) * ((1 + rho * R) / 2);
          sum += term;
        }
        return (Math.cos(angle) ** (rank - 2) * sum) / ((1 - rho * R) / (1 - rho)) ** (rank - 0.5);
      };
      const values = angles.map(weight);
      const integral = (f) => angles.reduce((total, angle, k) => total + (k % 2 ? 4 : k === 0 || k === count ? 1 : 2) * f(Math.sin(angle)) * values[k], 0);
      const whole = integral(() => 1);
      const inner = angles.map((_, k) => k).filter((k) => k > 0 && k < count && k % 2 === 0);
      const scale = (3 * count) / Math.PI / whole;
      return {
        meanSquare: integral((R) => R * R) / whole,
        xs: inner.map((k) => Math.sin(angles[k])),
        ys: inner.map((k) => (values[k] * scale) / Math.cos(angles[k])),
      };
    },
    pictures({ rank, rho }, found) {
      const [at, axes] = axis(-1, 1, ["cosine after projection (dimensionless)"], INSET);
      const parts = [axes, rule(at, rho, "before", 26)];
      if (rank === 1) {
        parts.push(upright(100, INSET), label(LEFT, 24, "share (%)"));
        for (const [x, share] of [[-1, 1 - found.same], [1, found.same]]) {
          parts.push(draw("rect", { class: "atom", x: at(x) - 4, width: 8, y: BOTTOM - RISE * share, height: RISE * share }));
        }
      } else {
        const top = Math.max(...found.ys.filter((_, k) => Math.abs(found.xs[k]) < 0.995));
        const ys = found.ys.map((y) => Math.min(y, top));
        parts.push(upright(top, INSET), label(LEFT, 24, "density"), curve("lora", found.xs, ys, at, top));
      }
      return parts;
    },
    words: ({ rank, rho }, found) =>
      `Two directions with cosine ${number(rho)} have a random cosine after projection to ${rank} dimension${rank === 1 ? "" : "s"}. Its root mean square is ${number(Math.sqrt(found.meanSquare))}; ` +
      (rho === 0 ? `without any overlap before, that is 1/√r.` : `before it was ${number(rho)}.`),
  };

  // The spectrum of M_Δ for large sizes, at given q and r/n.
  const edge = {
    sliders: {
      q: { label: "q = s²σ²n", ...listed([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3, 4]) },
      r: { label: "rank r, of n = 1024", ...listed([1, 4, 8, 16, 32, 64, 128, 256, 512, 1024]) },
    },
    start: { q: 0.9, r: 64 },
    compute({ q, r }) {
      const ratio = r / 1024;
      const edges = [q * (1 - Math.sqrt(ratio)) ** 2, q * (1 + Math.sqrt(ratio)) ** 2];
      return { q, ratio, edges, sharp: edges[1], middle: density((edges[0] + edges[1]) / 2 - 1, { q, ratio, edges }) };
    },
    pictures: ({ r }, found) => spectrum({ r, n: 1024, law: "gaussian" }, found),
    words: ({ q }, { sharp }) =>
      `The variance satisfies the printed condition at s = 1 if q is below 1, and here it is ${number(q)}. The upper edge lies at ${number(sharp - 1)}: M_Δ ${sharp <= 1 ? "is negative semi-definite" : "has positive eigenvalues"}.`,
  };

  // How fast the mean function moves: full fine-tuning at rate η, LoRA at a multiple of it.
  const pace = {
    sliders: {
      rank: { label: "rank r", ...listed([1, 2, 4, 8, 16, 32, 64]) },
      alpha: { label: "α", ...listed([1, 2, 4, 8, 16, 32, 64]) },
      times: { label: "LoRA's rate over that of full fine-tuning", min: 0, max: 4, step: 0.1, ...power(10) },
    },
    start: { rank: 8, alpha: 16, times: 1 },
    compute({ rank, alpha, times }) {
      const c = (alpha / rank) ** 2 * rank * (1 / (3 * 1024));
      return { c, pace: times * c, matched: 1 / c };
    },
    pictures(_, found) {
      const [at, axes] = axis(0, 3, ["training time of full fine-tuning, in units of 1/(ηλ)"], INSET);
      const ts = Array.from({ length: 121 }, (__, k) => k / 40);
      const left = (speed) => ts.map((t) => Math.exp(-speed * t));
      return [
        axes,
        curve("full", ts, left(1), at, 1),
        curve("lora", ts, left(found.pace), at, 1),
        upright(100, INSET),
        label(W - LEFT, 24, "left to learn (%): full fine-tuning; dashed: LoRA", "", "end"),
      ];
    },
    words: (_, found) =>
      `With a width of 1024 and PEFT's variance c = s²rσ² is ${number(found.c)}. At this rate LoRA's mean kernel moves the outputs ${number(found.pace)} times as fast; at ${number(found.matched)} times the rate both are alike.`,
  };

  // How much of each direction is fitted: at the ridge λ in full, at the effective ridge κ through an adapter of rank r.
  const COUNT = 64;
  const ridge = {
    sliders: {
      rank: { label: "rank r", ...listed([1, 2, 4, 8, 16, 32, 64, 128, 256]) },
      ridge: { label: "ridge λ", min: -4, max: 0, step: 0.25, ...power(10) },
      decay: { label: "decay of the eigenvalues, i to the power −a: a", min: 0, max: 2, step: 0.25, to: Number, from: Number },
    },
    start: { rank: 8, ridge: 0.01, decay: 1 },
    compute({ rank, ridge: small, decay }) {
      const values = Array.from({ length: COUNT }, (_, k) => (k + 1) ** -decay);
      const total = values.reduce((sum, value) => sum + value, 0);
      let [low, high] = [small, small + total / rank];
      for (let k = 0; k < 200; k++) {
        const middle = (low + high) / 2;
        const right = small + (middle / rank) * values.reduce((sum, value) => sum + value / (value + middle), 0);
        [low, high] = right > middle ? [middle, high] : [low, middle];
      }
      const kappa = (low + high) / 2;
      const fitted = (ridge) => values.map((value) => value / (value + ridge));
      return { kappa, full: fitted(small), lora: fitted(kappa) };
    },
    pictures(_, found) {
      const [at, axes] = axis(1, COUNT, ["number of the direction, from the largest eigenvalue down"], INSET);
      const index = found.full.map((__, k) => k + 1);
      return [
        axes,
        curve("full", index, found.full, at, 1),
        curve("lora", index, found.lora, at, 1),
        upright(100, INSET),
        label(W - LEFT, 24, "fitted (%): full fine-tuning; dashed: LoRA on average", "", "end"),
      ];
    },
    words({ ridge: small, rank }, found) {
      const sum = (shares) => number(shares.reduce((total, share) => total + share, 0));
      return `The effective ridge is ${number(found.kappa)}, ${number(found.kappa / small)} times λ. Full fine-tuning fits ${sum(found.full)} of ${COUNT} directions, LoRA of rank ${rank} on average ${sum(found.lora)}.`;
    },
  };

  const KINDS = { cosines, edge, pace, ridge };

  function fill(root, name, place) {
    const { sliders, start, compute, pictures, words } = KINDS[name];
    let state = { ...start };
    const controls = make("div", { className: "controls" });
    const shown = {};
    for (const [key, options] of Object.entries(sliders)) {
      shown[key] = slider(`widget-${place}-${key}`, options, (value) => {
        state = { ...state, [key]: value };
        show();
      });
      controls.append(shown[key].node);
    }
    const said = make("p", { className: "said" });
    said.setAttribute("aria-live", "polite");
    const picture = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
    root.replaceChildren(controls, picture, said);
    function show() {
      const found = compute(state);
      for (const key of Object.keys(shown)) shown[key].set(state[key]);
      said.innerHTML = words(state, found).replaceAll("M_Δ", "M<sub>Δ</sub>"); // words and numbers of ours alone
      picture.setAttribute("aria-label", said.textContent);
      picture.replaceChildren(...pictures(state, found));
    }
    show();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".lorantk-widget").forEach((root, place) => {
      const name = Object.keys(KINDS).find((kind) => root.classList.contains(kind));
      if (name) fill(root, name, place);
    });
    window.lorantkWidgets = Object.fromEntries(Object.entries(KINDS).map(([name, { compute }]) => [name, compute]));
  });
})();
