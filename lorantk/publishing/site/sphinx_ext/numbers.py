"""Numbers of chapters: that of the notebook's file, so that a new chapter changes no other number.

Chapter 10 is `notebooks/10_nsd.ipynb`; its statements, figures and equations are Theorem 10.1, Fig. 10.1, Eq. (10.1).
"""

from sphinx.environment.collectors.toctree import TocTreeCollector

from lorantk.publishing.site.outline import chapter_number


def number_chapters(app, env):
    """Number chapters by their files, and what Sphinx numbers by chapter anew; the pages to write again.

    Sphinx itself numbers the entries of a table of contents one after the other.
    """
    chapters = {page: chapter_number(page) for page in sorted(env.found_docs) if page.startswith("notebooks/")}
    for page, number in chapters.items():
        sections = [entry for entry in env.tocs[page].findall() if "anchorname" in entry]
        for entry in sections:
            entry["secnumber"] = (number,) if entry["anchorname"] == "" else None
        # An empty number of a section: the number of the chapter is for its title alone.
        env.toc_secnumbers[page] = {entry["anchorname"]: entry["secnumber"] or () for entry in sections}
        env.titles[page]["secnumber"] = (number,)
    return [*chapters, *TocTreeCollector().assign_figure_numbers(env)]
