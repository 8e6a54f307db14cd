// How the search orders its results: Sphinx's scores, and before them the pages whose own title has every word of the query.
var Scorer = {
  score: ([docname, title, anchor, descr, score, filename]) => {
    const words = (new URLSearchParams(window.location.search).get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
    const own = !anchor && !title.includes(" > ") && words.every((word) => title.toLowerCase().includes(word));
    return own ? score + 1000 : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: {0: 15, 1: 5, 2: -5},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
