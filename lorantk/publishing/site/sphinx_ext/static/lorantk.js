// What a link refers to, shown beside it on hover or focus: an equation, a statement, a reference, a symbol, a term, a figure.
// It is on the page already, as an element or as a template; nothing is fetched.
(() => {
  "use strict";
  const SMALLEST = 0.75; // of the usual size of a formula
  const KINDS = ".math, .proof, .citation, figure, tr, dl";
  let templates = new Map();
  let link = null;
  let tip = null;
  let timer = 0;

  function content(of) {
    const href = of.getAttribute("href") || "";
    const target = templates.has(href)
      ? templates.get(href).content.firstElementChild
      : href.startsWith("#") && href.length > 1 && document.getElementById(decodeURIComponent(href.slice(1)));
    if (!target || !target.matches(KINDS)) return null;
    const copy = target.cloneNode(true);
    copy.querySelectorAll(".headerlink, button").forEach((part) => part.remove());
    [copy, ...copy.querySelectorAll("[id]")].forEach((part) => part.removeAttribute("id"));
    if (copy.tagName !== "TR") return copy;
    const row = document.createElement("p");
    row.append(...[...copy.cells].flatMap((cell) => [...cell.querySelectorAll("p")].flatMap((part) => [...part.childNodes, " "])));
    return row;
  }

  function place() {
    const at = link.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const below = at.bottom + tip.offsetHeight + 8 < window.innerHeight || at.top < tip.offsetHeight + 8;
    tip.style.left = `${Math.max(8, Math.min(at.left, room)) + window.scrollX}px`;
    tip.style.top = `${(below ? at.bottom + 6 : at.top - tip.offsetHeight - 6) + window.scrollY}px`;
  }

  function hide() {
    clearTimeout(timer);
    if (tip) tip.remove();
    if (link) link.removeAttribute("aria-describedby");
    tip = link = null;
  }

  async function show(of) {
    if (link === of) return;
    const inside = content(of);
    if (!inside) return;
    hide();
    link = of;
    tip = document.createElement("div");
    tip.id = "lorantk-tip";
    tip.setAttribute("role", "tooltip");
    tip.append(inside);
    tip.addEventListener("mouseenter", () => clearTimeout(timer));
    tip.addEventListener("mouseleave", later);
    document.body.append(tip);
    of.setAttribute("aria-describedby", tip.id);
    of.removeAttribute("title"); // the browser's own tip would cover this one
    place();
    if (window.MathJax && MathJax.typesetPromise) await MathJax.typesetPromise([tip]);
    if (link === of) place();
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(hide, 300);
  }

  // The width of the block around a formula; what flows with the text, such as a paragraph in a cell on a phone, has none.
  function roomAround(part) {
    return part.clientWidth || roomAround(part.parentElement);
  }

  // A link leads to something that can be read: folds around its target and in it are opened.
  function unfold() {
    const target = document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
    if (!target) return;
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (target.matches(".lorantk-verdict, .lorantk-certificate")) target.querySelectorAll("details").forEach((part) => (part.open = true));
    target.scrollIntoView();
  }

  // A formula that is longer than its line is drawn smaller if that makes it fit, and scrolls if not.
  function fit() {
    const formulas = [...document.querySelectorAll("article mjx-container")];
    formulas.forEach((formula) => {
      formula.classList.remove("lorantk-long");
      formula.firstElementChild.style.fontSize = "";
    });
    const measured = formulas.map((formula) => {
      const inLine = !formula.hasAttribute("display");
      const length = inLine ? formula.offsetWidth : formula.scrollWidth;
      const room = inLine ? roomAround(formula.closest("p, li, td, dd, div")) : formula.clientWidth;
      return { formula, inLine, share: room / length, size: parseFloat(getComputedStyle(formula.firstElementChild).fontSize) };
    });
    for (const { formula, inLine, share, size } of measured.filter((one) => one.share < 1)) {
      if (share >= SMALLEST) formula.firstElementChild.style.fontSize = `${0.99 * share * size}px`;
      else if (inLine) formula.classList.add("lorantk-long");
    }
    // What scrolls can be reached by keyboard, and nothing else is a stop on the way.
    for (const { formula, inLine } of measured) {
      const scrolls = inLine ? formula.classList.contains("lorantk-long") : formula.scrollWidth > formula.clientWidth;
      if (scrolls) formula.tabIndex = 0;
      else formula.removeAttribute("tabindex");
    }
  }

  async function start() {
    templates = new Map([...document.querySelectorAll("template[data-tip]")].map((part) => [part.dataset.tip, part]));
    for (const of of document.querySelectorAll("article a[href*='#']:not(.headerlink)")) {
      of.addEventListener("mouseenter", () => {
        clearTimeout(timer);
        timer = setTimeout(() => show(of), 150);
      });
      of.addEventListener("mouseleave", later);
      of.addEventListener("focus", () => show(of));
      of.addEventListener("blur", later);
    }
    unfold();
    window.addEventListener("hashchange", unfold);
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
    // On paper nothing opens on a click: solutions, certificates and code do before, how figures were made stays closed.
    window.addEventListener("beforeprint", () => {
      document.querySelectorAll("article details:not(.lorantk-figure > details)").forEach((part) => (part.open = true));
    });
    if (window.MathJax && MathJax.startup) {
      await MathJax.startup.promise;
      fit();
      window.addEventListener("resize", fit);
      document.addEventListener("toggle", fit, true);
    }
  }

  document.addEventListener("DOMContentLoaded", start);
})();
