"""Each page in a real browser: rendered mathematics, a silent console, nothing from outside, readable by everyone.

One visit over HTTP covers everything that needs a drawn page; one from the file system and one without scripts cover the rest.
"""

import pytest

DRAWN_AT = "async () => { if (window.MathJax) await MathJax.startup.promise; return performance.now(); }"
UNRENDERED = """() => [...document.querySelectorAll('.math')]
    .filter(node => !node.querySelector('mjx-container') || node.querySelector('mjx-merror'))
    .map(node => node.textContent)"""
BAD_IMAGES = """async () => {
    const images = [...document.images];
    images.forEach(image => { image.loading = 'eager'; });
    await Promise.allSettled(images.map(image => image.decode()));
    return images
        .filter(image => !image.naturalWidth || !image.alt.trim() || /\\.(png|svg)$/.test(image.alt))
        .map(image => `${image.currentSrc} alt=${image.alt}`);
}"""
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
SIDEWAYS = """() => [...document.querySelectorAll('.lorantk-scroll')].filter(node => node.scrollWidth > node.clientWidth)
    .map(node => node.getAttribute('aria-label'))"""
# Formulas that extend beyond the screen without a way to scroll to their end.
CLIPPED = """() => [...document.querySelectorAll('article mjx-container')].filter(node => {
    if (node.getBoundingClientRect().right <= document.documentElement.clientWidth + 1) return false;
    for (let part = node; part.tagName !== 'ARTICLE'; part = part.parentElement)
        if (['auto', 'scroll'].includes(getComputedStyle(part).overflowX)) return false;
    return true;
}).map(node => node.parentElement.className + node.innerText)"""
# Only visible headings: the theme hides a second title and table of contents for print.
HEADINGS = """() => [...document.querySelectorAll('.bd-main :is(h1, h2, h3, h4, h5, h6)')]
    .filter(node => node.checkVisibility()).map(node => Number(node.tagName[1]))"""
# Open everything that opens on a click: its content must be readable too.
OPEN = "() => document.querySelectorAll('article details').forEach(part => { part.open = true; })"
# A moment after the window is resized, the theme makes scrollable parts reachable by keyboard.
SETTLED = "() => new Promise(done => setTimeout(done, 400))"
THEME = "theme => { document.documentElement.dataset.theme = theme; }"
# Drawn formulas have the colour of the text around them and the same elements in all settings. They are checked in the first
# setting and replaced by plain text in the others, which removes two thirds of a chapter's elements.
PLAIN_MATH = """() => {
    const formulas = [...document.querySelectorAll('mjx-container')];
    const other = formulas.filter(node => getComputedStyle(node).color !== getComputedStyle(node.parentElement).color);
    formulas.forEach(node => node.replaceWith('x'));
    return other.length;
}"""
AXE = """async () => {
    const found = await axe.run(document, {preload: false, resultTypes: ['violations']});
    return found.violations
        .filter(violation => ['serious', 'critical'].includes(violation.impact))
        .map(violation => `${violation.id}: ${violation.nodes.map(node => node.html.slice(0, 200)).join(' | ')}`);
}"""
SHOWN = """() => [...document.querySelectorAll('.bd-sidebar-primary, .bd-header-article, .prev-next-area, .search-button')]
    .filter(node => node.checkVisibility()).map(node => node.className)"""
HIDDEN = """() => [...document.querySelectorAll('article :is(figure img, table)')]
    .filter(node => !node.closest('details') && !node.checkVisibility()).length"""
WHOLE = ("index.html", "book/explorer.html", "book/figures.html", "book/chapters.html", "notebooks/10_nsd.html")
FIRST_VISIT, NEXT_VISIT = 2_500_000, 250_000  # bytes


def shoot(seen, screenshots, page, setting):
    """Save a screenshot, of the whole page for pages in `WHOLE`, which people look at, and of the top for the others."""
    from playwright.sync_api import TimeoutError as NoFrameError  # which a machine without Chromium does not need

    name = f"{page.removesuffix('.html').replace('/', '-')}-{setting}.png"
    options = {"path": screenshots / name, "full_page": page in WHOLE, "animations": "disabled"}
    try:
        seen.page.screenshot(**options)
    except NoFrameError:  # once in some thousand times, Chromium draws no frame after the window was resized
        seen.page.bring_to_front()
        seen.page.screenshot(**options)


def check_accessibility(seen, axe, setting):
    """Check the page in its current state against the rules of axe-core, except those of less than serious impact."""
    seen.page.evaluate(SETTLED)
    found = seen.page.evaluate(AXE)
    assert found == [], f"{setting}: {found}"


def test_page_over_http(visitor, axe, screenshots, measured, page):
    seen = visitor(page)
    assert seen.complaints == []
    assert seen.outside == []
    size = visitor.first_visit if page == "index.html" else seen.size
    assert size <= (FIRST_VISIT if page == "index.html" else NEXT_VISIT), f"{size} bytes"
    measured(page, bytes=size)
    assert seen.page.evaluate(UNRENDERED) == []
    shoot(seen, screenshots, page, "1280-light")
    assert seen.page.evaluate(BAD_IMAGES) == []
    levels = seen.page.evaluate(HEADINGS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in zip(levels, levels[1:], strict=False)), levels
    assert seen.page.evaluate(SIDEWAYS) == []
    seen.page.evaluate(OPEN)
    seen.page.evaluate(axe)
    check_accessibility(seen, axe, "light, 1280 px")

    seen.page.set_viewport_size({"width": 390, "height": 844})
    seen.page.evaluate(THEME, "dark")
    shoot(seen, screenshots, page, "390-dark")
    assert seen.page.evaluate(TOO_WIDE) <= 0
    seen.page.evaluate(SETTLED)
    assert seen.page.evaluate(CLIPPED) == []
    assert seen.page.evaluate(PLAIN_MATH) == 0
    check_accessibility(seen, axe, "dark, 390 px")
    seen.page.evaluate(THEME, "light")
    check_accessibility(seen, axe, "light, 390 px")
    seen.page.set_viewport_size({"width": 1280, "height": 900})
    seen.page.evaluate(THEME, "dark")
    check_accessibility(seen, axe, "dark, 1280 px")

    seen.page.set_viewport_size({"width": 700, "height": 900})
    seen.page.emulate_media(media="print")
    assert seen.page.evaluate(SHOWN) == []
    assert seen.page.evaluate(TOO_WIDE) <= 0
    assert seen.complaints == []


def test_page_from_file(file_visitor, measured, page):
    seen = file_visitor(page)
    measured(page, milliseconds_to_mathematics=round(seen.page.evaluate(DRAWN_AT)))
    assert seen.complaints == []
    assert seen.outside == []
    assert seen.page.evaluate(UNRENDERED) == []


def test_page_without_scripts(plain_visitor, screenshots, page):
    seen = plain_visitor(page)
    assert seen.complaints == []
    assert seen.page.evaluate(BAD_IMAGES) == []
    text = seen.page.locator(".bd-main").first
    assert text.is_visible()
    assert text.inner_text().strip()
    assert seen.page.evaluate(HIDDEN) == 0
    seen.page.emulate_media(media="print")
    assert seen.page.evaluate(SHOWN) == []
    if page in WHOLE:
        shoot(seen, screenshots, page, "no-scripts")


@pytest.mark.parametrize("page", ["index.html"], ids=["front page"])
def test_the_theme_button_changes_and_keeps_the_theme(visitor, page):
    seen = visitor(page)
    button = seen.page.locator(".theme-switch-button").first
    modes = []
    for _ in range(3):
        button.click()
        modes.append(seen.page.evaluate("document.documentElement.dataset.mode"))
    assert set(modes) == {"light", "dark", "auto"}
    while seen.page.evaluate("document.documentElement.dataset.mode") != "dark":
        button.click()
    seen.page.reload()
    assert seen.page.evaluate("document.documentElement.dataset.theme") == "dark"
    seen.page.evaluate("localStorage.clear()")


@pytest.mark.parametrize("page", ["notebooks/04_poisoning.html"], ids=["chapter"])
def test_words_that_a_search_found_are_marked_legibly(visitor, axe, page):
    seen = visitor(page, anchor="?highlight=poisoning")
    assert seen.page.locator("article span.highlighted").count() > 1
    seen.page.evaluate(axe)
    for theme in ("light", "dark"):
        seen.page.evaluate(THEME, theme)
        check_accessibility(seen, axe, theme)
    seen.page.evaluate("localStorage.clear()")
