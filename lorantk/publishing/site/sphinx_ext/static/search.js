// Below each result of a search, how its page begins. The words are in the search index, so that they are there from disk too.
(() => {
  "use strict";
  const begin = (item) => {
    const link = item.querySelector("a");
    const index = Search._index;
    if (!link || !index || !index.excerpts) return;
    const page = new URL(link.href).pathname;
    const place = index.docnames.findIndex((name) => page.endsWith(`/${name}.html`));
    if (place < 0 || !index.excerpts[place]) return;
    const words = document.createElement("p");
    words.className = "context";
    words.textContent = index.excerpts[place];
    item.append(words);
  };
  const results = document.getElementById("search-results");
  if (!results) return;
  new MutationObserver((changes) =>
    changes.forEach((change) =>
      change.addedNodes.forEach((node) => {
        if (node.tagName === "LI") begin(node);
        else if (node.querySelectorAll) node.querySelectorAll("li").forEach(begin);
      })
    )
  ).observe(results, {childList: true, subtree: false});
  results.querySelectorAll("li").forEach(begin);
})();
