"""The command line: `lorantk claims`, `lorantk cite`, `lorantk audit`.

Exit status: 0 on success, 1 when a check fails, 2 on wrong usage or input. Errors are one line on stderr. An audit that finds
an adapter not in order is a success; with `--check` it is a check that fails, as is an adapter that the theorems do not decide.
"""

import argparse
import json
import os
import sys
from pathlib import Path


class UsageError(Exception):
    """An argument that the command cannot work with."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        """Print what is wrong and leave with status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


class Version(argparse.Action):
    """`--version`, looked up only when asked for."""

    def __call__(self, parser, *_):
        """Print the installed version and leave."""
        from importlib.metadata import version

        print(f"lorantk {version('lorantk')}")
        parser.exit()


def claims(options):
    """Print every statement with its verdict, as a table or as the JSON of the build."""
    from lorantk.publishing.files import CLAIMS_FILE, read_list

    entries = read_list(options.build / CLAIMS_FILE)
    if options.json:
        print(json.dumps(entries, indent=1, ensure_ascii=False))
        return
    rows = [(entry["id"], entry["verdict"] or "not yet judged", entry["title"]) for entry in entries]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for name, verdict, title in rows:
        print(f"{name:{widths[0]}}  {verdict:{widths[1]}}  {title}")


def cite(options):
    """Print the citation of one figure."""
    from lorantk.publishing.citation import FORMATS
    from lorantk.publishing.files import FIGURES_FILE, read_list

    figures = {figure["id"]: figure for figure in read_list(options.build / FIGURES_FILE)}
    if options.figure not in figures:
        raise UsageError(f"expected a figure id ({', '.join(figures) or 'there are none'}), got {options.figure!r}")
    print(FORMATS[options.format](figures[options.figure]))


def audit(options):
    """Say which of the book's conditions hold for an adapter."""
    from lorantk.auditing.run import audit
    from lorantk.auditing.terminal import progress, render, wants_colour

    names = ("rank", "alpha", "features", "features_out", "rslora", "init", "variance", "model", "dimension", "failure")
    report = audit(options.path, **{name: getattr(options, name) for name in names}, progress=progress)
    if options.html:
        from lorantk.auditing.html import page

        write_text(options.html, page(report))
    if options.json:
        print(json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print(render(report, wants_colour(sys.stdout), options.all))
    return 1 if options.check and report.overall.order is not True else 0


def write_text(path, text):
    """Write a file; UsageError where that cannot be."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: expected a place to write to, got: {error.strerror}") from error


def audit_arguments(command):
    """The arguments of `lorantk audit`."""
    add = command.add_argument
    add("path", nargs="?", type=Path, help="folder or .safetensors file of a saved PEFT adapter, or its adapter_config.json")
    numbers = command.add_argument_group("numbers instead of a path")
    numbers.add_argument("--rank", type=int, help="r")
    numbers.add_argument("--alpha", type=float, help="α: the scale is α/r")
    numbers.add_argument("--features", type=int, help="n, the inputs of the adapted matrix (also beside a configuration)")
    numbers.add_argument("--features-out", type=int, help="m, its outputs; needed where B does not start at zero")
    numbers.add_argument("--rslora", action="store_true", help="the scale is α/√r")
    numbers.add_argument("--init", default=True, help="a value of PEFT's init_lora_weights, or orthonormal (true)")
    numbers.add_argument("--variance", type=float, help="variance of A's entries, in place of that of --init")
    add("--model", type=Path, help="beside a configuration: the model's safetensors file, index or folder (headers are read)")
    add("--dimension", type=float, help="dimension that the features of given data span, at most the number of samples")
    add("--failure", type=float, default=0.01, help="failure probability of the order on given data, in all modules (0.01)")
    add("--check", action="store_true", help="exit with status 1 unless every module is in order")
    add("--all", action="store_true", help="one row for each module")
    add("--json", action="store_true", help="print all that is found as JSON")
    add("--html", type=Path, metavar="FILE", help="write the report with figures into one file")


def parser():
    """The parser of all subcommands."""
    top = Parser(prog="lorantk", description="Results of the book, from a build of it, and what they say about an adapter.")
    top.add_argument("--version", action=Version, nargs=0, help="print the version and leave")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    build = Parser(add_help=False)
    build.add_argument("--build", type=Path, default=Path("_build"), help="folder that `make book` wrote (_build)")
    for run, text in ((claims, "list every statement with its verdict"), (cite, "cite a figure")):
        commands.add_parser(run.__name__, parents=[build], help=text, description=text).set_defaults(run=run)
    text = "say which of the book's conditions hold for an adapter, how strongly, and what would make them hold"
    commands.add_parser("audit", help=text, description=text).set_defaults(run=audit)
    audit_arguments(commands.choices["audit"])
    commands.choices["claims"].add_argument("--json", action="store_true", help="print all that is recorded")
    commands.choices["cite"].add_argument("figure", metavar="FIGURE_ID")
    commands.choices["cite"].add_argument("--format", choices=("bibtex", "apa", "csl-json"), default="bibtex")
    return top


def main(arguments=None):
    """Run the command line and give its exit status."""
    from lorantk.auditing.errors import AuditError
    from lorantk.publishing.errors import PublishingError

    options = parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (UsageError, AuditError, FileNotFoundError) as error:
        print(f"lorantk {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except PublishingError as error:
        print(f"lorantk {options.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
