"""The command line: `lorantk claims`, `lorantk cite`, `lorantk audit`.

Exit status: 0 on success, 1 when a check fails, 2 on wrong usage or input. Errors are one line on stderr. An audit that finds
an adapter not in order is a success. With `--check` it is a failed check, and so is an adapter that the theorems do not decide.
"""

import argparse
import json
import os
import sys
from pathlib import Path


class CommandError(Exception):
    """An argument that the command cannot work with."""


class Parser(argparse.ArgumentParser):
    """A parser that reports errors in one line."""

    def error(self, message):
        """Print what is wrong and exit with status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


class Version(argparse.Action):
    """`--version`, looked up only when asked for."""

    def __call__(self, parser, *_):
        """Print the installed version and exit."""
        from importlib.metadata import version

        print(f"lorantk {version('lorantk')}")
        parser.exit()


def claims(options):
    """Print every statement with its verdict, as a table or as the JSON of the build."""
    from lorantk.publishing.json_files import CLAIMS_FILE, read_list

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
    from lorantk.publishing.json_files import FIGURES_FILE, read_list
    from lorantk.publishing.site.citation import FORMATS

    figures = {figure["id"]: figure for figure in read_list(options.build / FIGURES_FILE)}
    if options.figure not in figures:
        raise CommandError(f"expected a figure id ({', '.join(figures) or 'there are none'}), got {options.figure!r}")
    print(FORMATS[options.format](figures[options.figure]))


def audit(options):
    """Say which of the book's conditions hold for an adapter."""
    from lorantk.auditing.terminal import progress, render, wants_colour

    report = audited(options, progress)
    if options.html:
        from lorantk.auditing.html import page

        write_text(options.html, page(report))
    if options.json:
        print(json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print(render(report, wants_colour(sys.stdout), options.all))
    return 1 if options.check and report.overall.order is not True else 0


def audited(options, progress):
    """Return the report on numbers, a configuration or a saved adapter, depending on the arguments."""
    from lorantk.auditing.run import audit_adapter, audit_configuration, audit_numbers
    from lorantk.auditing.safe_files import find

    own = ("rank", "alpha", "rslora", "init", "variance")
    shape = ("features", "features_out")
    asked = {"dimension": options.dimension, "failure": options.failure}

    def given(*names):
        return {name: getattr(options, name) for name in names}

    if options.path is None:
        if options.model is not None:
            raise CommandError("--model: expected an adapter_config.json beside it, got none")
        return audit_numbers(**given(*own, *shape), **asked)
    if given(*own) != {"rank": None, "alpha": None, "rslora": False, "init": True, "variance": None}:
        raise CommandError(
            f"{options.path}: expected no rank, alpha, rslora, init or variance with a path, which already gives them"
        )
    if find(options.path).weights is None:
        return audit_configuration(options.path, **given("model", *shape), **asked)
    if given("model", *shape) != {"model": None, "features": None, "features_out": None}:
        raise CommandError(f"{options.path}: expected no features or model with saved weights, which already give the shapes")
    return audit_adapter(options.path, **asked, progress=progress)


def write_text(path, text):
    """Write a file; raise CommandError if that fails."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: expected a place to write to, got: {error.strerror}") from error


def audit_arguments(command):
    """Add the arguments of `lorantk audit`."""
    add = command.add_argument
    add("path", nargs="?", type=Path, help="folder or .safetensors file of a saved PEFT adapter, or its adapter_config.json")
    numbers = command.add_argument_group("numbers instead of a path")
    numbers.add_argument("--rank", type=int, help="r")
    numbers.add_argument("--alpha", type=float, help="α: the scale is α/r")
    numbers.add_argument("--features", type=int, help="n, the inputs of the adapted matrix (also with a configuration)")
    numbers.add_argument("--features-out", type=int, help="m, its outputs; needed if B does not start at zero")
    numbers.add_argument("--rslora", action="store_true", help="the scale is α/√r")
    numbers.add_argument("--init", default=True, help="a value of PEFT's init_lora_weights, or orthonormal (true)")
    numbers.add_argument("--variance", type=float, help="variance of A's entries, instead of that of --init")
    add("--model", type=Path, help="with a configuration: the model's safetensors file, index or folder (only headers are read)")
    add("--dimension", type=float, help="dimension of the span of the features of given data, at most the number of samples")
    add("--failure", type=float, default=0.01, help="probability that the order on given data fails in any module (0.01)")
    add("--check", action="store_true", help="exit with status 1 unless every module is in order")
    add("--all", action="store_true", help="one row for each module")
    add("--json", action="store_true", help="print everything that was found as JSON")
    add("--html", type=Path, metavar="FILE", help="write the report with figures to one file")


def parser():
    """Return the parser with all subcommands."""
    top = Parser(prog="lorantk", description="Show the book's results from a build of it, and what they say about an adapter.")
    top.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    build = Parser(add_help=False)
    build.add_argument("--build", type=Path, default=Path("_build"), help="folder that `make book` wrote (_build)")
    for run, text in ((claims, "list every statement with its verdict"), (cite, "cite a figure")):
        commands.add_parser(run.__name__, parents=[build], help=text, description=text).set_defaults(run=run)
    text = "say which of the book's conditions hold for an adapter, how strongly, and what would make them hold"
    commands.add_parser("audit", help=text, description=text).set_defaults(run=audit)
    audit_arguments(commands.choices["audit"])
    commands.choices["claims"].add_argument("--json", action="store_true", help="print everything that is recorded as JSON")
    commands.choices["cite"].add_argument("figure", metavar="FIGURE_ID")
    commands.choices["cite"].add_argument("--format", choices=("bibtex", "apa", "csl-json"), default="bibtex")
    return top


def main(arguments=None):
    """Run the command line and return its exit status."""
    from lorantk.auditing.errors import AuditError
    from lorantk.publishing.errors import PublishingError

    options = parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (CommandError, AuditError, FileNotFoundError) as error:
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
