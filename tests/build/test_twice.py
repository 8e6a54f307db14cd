"""Two clean builds of a small checkout, in different folders and surroundings, give the same bytes wherever they should."""

import pytest
from tiny_book import figure_words
from tiny_tree import TOC, chapter, grow, run, write

from lorantk.publishing.checks.compare import compare

FIGURE = """import matplotlib.pyplot as plt
from lorantk.publishing import Chapter
chapter = Chapter("def-lora", profile=profile)
fig, axis = plt.subplots()
axis.plot([1, 2])
chapter.figure(fig, "one-line", data={"y": [1, 2]})
chapter.glue(number=1.5)
chapter.evidence("one", 1, "<=", 2)
chapter.conclude("holds exactly")"""
TABLE = "import pandas as pd\npd.DataFrame({'a': [1.0]}).style.format('{:.1f}')"
CLOCK = "import time\nprint(time.perf_counter_ns())"

# A folder with spaces and non-ASCII letters, no home, a decimal comma, and a network only through a closed port.
PLACES = {
    "one": {},
    "Größe und Maß": {"HOME": None, "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de", "TZ": "Asia/Kolkata"}
    | dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The comparison of two builds; the second chapter shows a time in a cell declared as such, the third in another cell."""
    builds = []
    for name, surroundings in PLACES.items():
        tree = grow(tmp_path_factory.mktemp(name))
        (tree / "_toc.yml").write_text(TOC + "  - file: notebooks/03_three\n  - file: book/runs\n")
        (tree / "book/runs.md").write_text("---\nnosearch: true\n---\n\n# Runs\n\n```{runs}\n```\n\n## A section\n")
        first = chapter("def-lora", FIGURE, TABLE)
        del first.cells[-2]  # the chapter's own figure cell; FIGURE makes one
        first.cells[-1].source += "\n\n" + figure_words("one-line", caption="At {glue:text}`number`.")
        second = chapter("def-ntk", CLOCK.replace("print(", "from IPython.display import HTML\nHTML(str(") + ")")
        second.cells[2].metadata["tags"] = ["measured"]
        for stem, content in {"01_one": first, "02_two": second, "03_three": chapter("gauge", CLOCK)}.items():
            write(tree, stem, content)
        status, out, err = run(tree, "publishing.graph.build", "book", surroundings=surroundings)
        assert status == 0, out + err
        builds.append(tree / "_build")
    return compare(*builds)


def test_figures_statements_notebooks_and_pages_are_the_same(found):
    assert [name for name in found.differing if "03_three" not in name and "searchindex" not in name] == []
    assert found.counts["figures as SVG"] == found.counts["figures as PDF"] == found.counts["data of figures"] == 1
    assert found.counts["executed notebooks"] == 3
    assert found.counts["pages"] >= 5
    assert "site/book/runs.html" in found.left_out


def test_an_undeclared_time_is_caught_wherever_it_appears(found):
    names = list(found.differing)
    assert "executed/03_three.ipynb" in names
    assert "site/notebooks/03_three.html" in names
    assert "site/notebooks/03_three.ipynb" in names
