"""What a page is, for machines: in the vocabulary of schema.org, as JSON-LD.

A chapter is a `ScholarlyArticle`; each verdict in it is a `ClaimReview`; the tables that a page offers are one `Dataset`.
Addresses are relative to the page as long as the book has none of its own.
"""

from lorantk.publishing.notebook.claims import OTHER, OWN
from lorantk.publishing.site.citation import link

CONTEXT = "https://schema.org"
LICENSE = "https://creativecommons.org/licenses/by/4.0/"
ARXIV = "https://arxiv.org/abs/"
FORMATS = {".csv": "text/csv", ".json": "application/json"}


def agent(name):
    """A name in the form of CSL as a `Person` or an `Organization`."""
    if "literal" in name:
        return {"@type": "Organization", "name": name["literal"]}
    given, family = name["given"], name["family"]
    return {"@type": "Person", "name": f"{given} {family}", "givenName": given, "familyName": family}


def paper(reference, names):
    """The paper that the book examines, from its entry in `CITATION.cff` and its authors in the form of CSL."""
    found = {"@type": "ScholarlyArticle", "name": reference["title"], "author": [agent(name) for name in names]}
    return found | {"datePublished": str(reference["year"])}


def page_article(work, kind, description, image=None):
    """A page, or the whole book.

    Parameters
    ----------
    work : dict
        The book, a chapter or a page, as a work (see `lorantk.publishing.site.citation`).
    kind : str
        Its type.
    description : str
        What it is about, in plain text.
    image : str, optional
        Address of its preview.
    """
    about = {"@type": kind, "name": work["title"], "headline": work["title"][:110], "description": description}
    about |= {"author": [agent(name) for name in work["authors"]], "license": LICENSE, "version": work["version"]}
    about |= {"inLanguage": "en", "isAccessibleForFree": True}
    if work["title"] != work["book"]:
        about["isPartOf"] = {"@type": "Book", "name": work["book"]}
    optional = {"url": work["url"], "identifier": work["doi"] and link(work), "image": image}
    return about | {name: value for name, value in optional.items() if value}


def claim_review(claim, book, examined, address):
    """The verdict on one statement.

    Parameters
    ----------
    claim : dict
        An object of claims.json with a verdict.
    book : dict
        The book as a work.
    examined : dict
        The paper, as `paper` returns it.
    address : str
        Where the verdict is.
    """
    authors = [agent(name) for name in book["authors"]]
    if claim["source"] == OWN:
        stated = {"author": authors}
    elif claim["source"].startswith(OTHER):
        stated = {"appearance": {"@type": "ScholarlyArticle", "url": ARXIV + claim["source"].removeprefix(OTHER)}}
    else:
        stated = {"author": examined["author"], "appearance": examined}
    rating = {"@type": "Rating", "alternateName": claim["verdict"]}
    if claim["corrected"]:
        rating["ratingExplanation"] = claim["corrected"]
    return {
        "@type": "ClaimReview",
        "url": address,
        "claimReviewed": claim["title"],
        "itemReviewed": {"@type": "Claim", "name": claim["title"], "identifier": claim["id"], **stated},
        "reviewRating": rating,
        "author": authors,
    }


def dataset(title, files, book):
    """The tables that a page offers.

    Parameters
    ----------
    title : str
        Title of the page.
    files : dict of str to str
        Addresses by file name; the name ends with a key of `FORMATS`.
    book : dict
        The book as a work.
    """
    downloads = [
        {"@type": "DataDownload", "name": name, "contentUrl": address, "encodingFormat": FORMATS[f".{name.rpartition('.')[2]}"]}
        for name, address in files.items()
    ]
    return {
        "@type": "Dataset",
        "name": f"Data of: {title}",
        "description": f"The data that the page “{title}” of the book “{book['title']}” shows or was computed from.",
        "creator": [agent(name) for name in book["authors"]],
        "license": LICENSE,
        "version": book["version"],
        "distribution": downloads,
    }
