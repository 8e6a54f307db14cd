// What the explorer and the small pictures in chapters share: numbers, axes, sliders, and the spectrum of M_Δ.
window.lorantkPictures = (() => {
  "use strict";
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
  const RISE = 170; // of a curve at its top
  // Four digits; a very small or large number as in print, 6.51 × 10⁻⁴.
  function number(value) {
    const size = Math.abs(value);
    if (size === 0 || (size >= 0.001 && size < 10000)) return String(Number(value.toPrecision(4))).replace("-", "−");
    const [digits, exponent] = value.toExponential(2).replace(/^-/, "−").split("e");
    return `${digits} × 10${exponent.replace(/[-+0-9]/g, (sign) => ({ "-": "⁻", "+": "" })[sign] ?? "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign])}`;
  }

  function ticks(low, high) {
    const raw = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(Number((k * step).toPrecision(6)));
    return found;
  }

  function axis(low, high, label, left = LEFT) {
    const at = (x) => left + ((x - low) / (high - low)) * (W - LEFT - left);
    const group = draw("g", { class: "across" }, draw("line", { x1: left, x2: W - LEFT, y1: BOTTOM, y2: BOTTOM, stroke: "currentColor" }));
    for (const x of ticks(low, high)) {
      group.append(
        draw("line", { x1: at(x), x2: at(x), y1: BOTTOM, y2: BOTTOM + 5, stroke: "currentColor" }),
        draw("text", { x: at(x), y: BOTTOM + 19, "text-anchor": "middle" }, String(x).replace("-", "−")),
      );
    }
    group.append(draw("text", { x: W / 2, y: BOTTOM + 43, "text-anchor": "middle" }, ...label));
    return [at, group];
  }

  // The scale of a curve's height, from 0 to `top`, at the left.
  function upright(top, left) {
    const group = draw("g", { class: "upright" }, draw("line", { x1: left, x2: left, y1: BOTTOM - RISE, y2: BOTTOM, stroke: "currentColor" }));
    for (const y of ticks(0, top)) {
      const height = BOTTOM - (RISE * y) / top;
      group.append(
        draw("line", { x1: left - 5, x2: left, y1: height, y2: height, stroke: "currentColor" }),
        draw("text", { x: left - 9, y: height + 6, "text-anchor": "end" }, String(y)),
      );
    }
    return group;
  }

  // A logarithmic axis with a tick for each power of ten.
  function decades(low, high, label) {
    const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const at = (x) => LEFT + ((Math.log10(x) - first) / (last - first)) * (W - 2 * LEFT);
    const group = draw("g", {}, draw("line", { x1: LEFT, x2: W - LEFT, y1: BOTTOM, y2: BOTTOM, stroke: "currentColor" }));
    const every = Math.ceil((last - first) / 6);
    for (let k = first; k <= last; k += every) {
      const power = draw("tspan", { dy: -6, "font-size": "75%" }, String(k).replace("-", "−"));
      group.append(
        draw("line", { x1: at(10 ** k), x2: at(10 ** k), y1: BOTTOM, y2: BOTTOM + 5, stroke: "currentColor" }),
        draw("text", { x: at(10 ** k), y: BOTTOM + 21, "text-anchor": "middle" }, "10", power),
      );
    }
    group.append(draw("text", { x: W / 2, y: BOTTOM + 45, "text-anchor": "middle" }, ...label));
    return [at, group, 10 ** first];
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
    return [axes, atom, bulk, rule(at, 0, "right of this line LoRA's kernel is larger", 20)];
  }

  function make(tag, attributes = {}, ...inside) {
    const node = document.createElement(tag);
    Object.assign(node, attributes);
    node.append(...inside);
    return node;
  }

  // Sliders move on a logarithmic scale: `to` turns their position into a value, `from` a value into a position.
  const power = (base) => ({ to: (x) => base ** x, from: (value) => Math.log(value) / Math.log(base) });
  // The slider snaps to these values, which rise.
  function listed(values) {
    const from = (value) => values.reduce((best, entry, k) => (Math.abs(Math.log(entry / value)) < Math.abs(Math.log(values[best] / value)) ? k : best), 0);
    return { min: 0, max: values.length - 1, step: 1, to: (k) => values[k], from };
  }

  // A slider with its label and the value it stands for; `set` moves it without an event.
  function slider(id, { label, min, max, step, to, from, show = number }, change) {
    const input = make("input", { type: "range", min, max, step, id });
    const shown = make("output", { htmlFor: id });
    input.addEventListener("input", () => change(to(Number(input.value))));
    function set(value, text = show(value)) {
      input.value = Math.min(Math.max(from(value), min), max);
      shown.value = text;
      input.setAttribute("aria-valuetext", text);
    }
    return { node: make("div", {}, make("label", { htmlFor: id }, label), input, shown), input, set };
  }

  return { W, H, LEFT, BOTTOM, RISE, axis, decades, density, draw, listed, make, number, power, rule, slider, spectrum, upright };
})();
