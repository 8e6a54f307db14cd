"""The search index: what it contains and what it leaves out."""

import json

from bs4 import BeautifulSoup

from lorantk.publishing.site.search import excerpt, prose, shorten, shortened

PAGE = """<html><nav>Elsewhere</nav><article class="bd-article" role="main"><h1>Kernels</h1><p>Poisoned labels of 50&nbsp;000,
<span class="math notranslate">\\(\\alpha\\)</span> and <code class="literal">vmap</code>.</p><pre><span>jnp</span>.linalg</pre>
<table border="1" class="dataframe"><tr><td>dtype</td></tr></table><table><tr><td>Beyond</td></tr></table></article></html>"""


def test_prose_is_the_text_of_an_article_without_code_formulas_and_data():
    found = prose(BeautifulSoup(PAGE, "html.parser"))
    assert found >= {"kernel", "poison", "label", "vmap", "Beyond", "beyond"}
    assert not found & {"elsewher", "alpha", "jnp", "linalg", "dtype", "class", "nbsp"}


def test_words_stay_on_the_pages_that_speak_of_them():
    index = {"docnames": ["a", "b"], "titleterms": {"3": 0, "kernel": [0, 1]}, "envversion": {"sphinx": 1}, "titles": ["A", "B"]}
    index["terms"] = {"poison": [0, 1], "jnp": 1, "both": [0, 1], "000": 0, "Of": [0, 1], "": [0, 1], "1e5": 0}
    words = [{"poison", "both", "000", "Of", "", "1e5"}, {"both", "Of", ""}]
    assert shortened(index, words) == {
        "docnames": ["a", "b"],
        "titles": ["A", "B"],
        "terms": {"poison": 0, "both": [0, 1], "1e5": 0},
        "titleterms": {"kernel": [0, 1]},
    }


def test_the_file_stays_a_script_of_the_same_call(tmp_path):
    index = {"docnames": ["a"], "terms": {"poison": 0, "jnp": 0, "α": 0}, "titleterms": {}, "titles": ["(Δ)"]}
    (tmp_path / "searchindex.js").write_text(f"Search.setIndex({json.dumps(index)})")
    shorten(tmp_path, {"a.html": BeautifulSoup(PAGE, "html.parser")})
    expected = 'Search.setIndex({"docnames":["a"],"terms":{"poison":0},"titleterms":{},"titles":["(Δ)"],'
    expected += '"excerpts":["Poisoned labels of 50 000, α and vmap."]})'
    assert (tmp_path / "searchindex.js").read_text() == expected


def test_an_excerpt_is_the_first_words_of_a_page_in_plain_text():
    page = '<article class="bd-article"><h1>A</h1><p> </p><p>{}</p></article>'
    assert excerpt(BeautifulSoup(page.format("So \\(\\alpha_1\\) is\n<em>large</em>."), "html.parser")) == "So α1 is large."
    long = excerpt(BeautifulSoup(page.format("word " * 100), "html.parser"))
    assert long.endswith("word …")
    assert len(long) <= 200
    assert excerpt(BeautifulSoup("<article class='bd-article'></article>", "html.parser")) == ""
