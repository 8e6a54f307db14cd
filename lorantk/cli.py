"""The command line: `lorantk claims`, `lorantk cite`, `lorantk audit`, `lorantk balance`.

Exit status: 0 on success, 1 when a check fails, 2 on wrong usage or input and when the output cannot be written, 130 when
interrupted. Errors are one line on stderr. An audit that finds an adapter not in order is a success. With `--check` it is a
failed check, and so is an adapter that the theorems do not decide. If some modules cannot be audited, the others are, and the
status is 2.
"""

import argparse
import json
import os
import sys
import textwrap
from pathlib import Path

from lorantk.threads import limit_threads


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


def say(text):
    """Print a text."""
    say_parts([text])


def say_parts(parts):
    """Print a text given in parts, which need not exist at the same time."""
    try:
        sys.stdout.writelines(parts)
        print(flush=True)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        abandon_output()


def say_json(value):
    """Print a value as JSON, in ASCII unless the terminal's encoding has every character."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    say_parts(json.JSONEncoder(indent=1, ensure_ascii=not unicode, allow_nan=False).iterencode(value))


def claims(options):
    """Print every statement with its verdict, as a table or as the JSON of the build."""
    from lorantk.publishing.json_files import CLAIMS_FILE, read_list

    entries = read_list(options.build / CLAIMS_FILE)
    if options.json:
        say_json(entries)
        return
    rows = [(entry["id"], entry["verdict"] or "not yet judged", entry["title"]) for entry in entries]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    say("\n".join(f"{name:{widths[0]}}  {verdict:{widths[1]}}  {title}" for name, verdict, title in rows))


def cite(options):
    """Print the citation of a figure, of a chapter or of the book."""
    from difflib import get_close_matches

    from lorantk.publishing.json_files import read_list
    from lorantk.publishing.site.citation import FORMATS, WORKS_FILE

    works = {work["id"]: work for work in read_list(options.build / WORKS_FILE)}
    if options.work not in works:
        near = get_close_matches(options.work, works, n=5, cutoff=0) or ["there are none"]
        raise CommandError(f"expected the id of a figure or the topic of a chapter ({', '.join(near)}, …), got {options.work!r}")
    say(FORMATS[options.format](works[options.work]))


def audit(options):
    """Say which of the book's conditions hold for an adapter."""
    from lorantk.auditing.terminal import progress, render, wants_colour

    limit_threads(1)  # the matrices are small; more threads would wait for each other
    report = audited(options, progress)
    if options.html:
        from lorantk.auditing.html import page

        write_text(options.html, page(report))
    if options.sarif:
        from lorantk.auditing.sarif import sarif

        write_text(options.sarif, json.dumps(sarif(report), indent=1, ensure_ascii=False) + "\n")
    if options.json:
        say_json(report.to_dict())
    else:
        say(render(report, wants_colour(sys.stdout), options.all))
    if report.refused:
        more = f" (and {len(report.refused) - 1} more modules)" if len(report.refused) > 1 else ""
        raise CommandError(f"{report.refused[0].reason}{more}")
    return 1 if options.check and report.overall.order is not True else 0


def balance(options):
    """Write a copy of an adapter with balanced factors of the same update."""
    from lorantk.auditing.balance import balance_adapter
    from lorantk.auditing.terminal import WIDTH, progress

    limit_threads(1)
    done = balance_adapter(options.path, options.output, in_order=options.in_order, progress=progress)
    say(textwrap.fill(done.text(), WIDTH, subsequent_indent="  ", break_on_hyphens=False))


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
        if missing := [f"--{name}" for name in ("rank", "alpha", "features") if getattr(options, name) is None]:
            raise CommandError(f"expected a path, or --rank, --alpha and --features, got no path and no {', no '.join(missing)}")
        return audit_numbers(**given(*own, *shape), **asked)
    if given(*own) != {"rank": None, "alpha": None, "rslora": False, "init": True, "variance": None}:
        raise CommandError(
            f"{options.path}: expected no rank, alpha, rslora, init or variance with a path, which already gives them"
        )
    if find(options.path).weights is None:
        return audit_configuration(options.path, **given("model", *shape), **asked)
    if given(*shape) != {"features": None, "features_out": None}:
        raise CommandError(f"{options.path}: expected no features with saved weights, which already give the shapes")
    return audit_adapter(options.path, model=options.model, **asked, progress=progress)


def write_text(path, text):
    """Write a file; raise CommandError if that fails."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: expected a place to write to, got: {error.strerror}") from error


AUDIT = (
    "Do the book's theorems apply to an adapter? For each adapted matrix this says which of their conditions hold, by what "
    "margin, and what would meet them. A matrix is in order if LoRA's tangent kernel lies below that of full fine-tuning for all "
    "data. No robustness is measured, and nothing here is advice on settings."
)
STATUS = "exit status: 0; 1 with --check if a matrix is not in order; 2 if something cannot be audited"


def audit_arguments(command):
    """Add the arguments of `lorantk audit`."""
    add = command.add_argument
    add(
        "path",
        nargs="?",
        type=Path,
        help="folder or file of a saved adapter (PEFT, kohya, diffusers, MLX, GGUF), or an adapter_config.json",
    )
    numbers = command.add_argument_group("numbers instead of a path")
    numbers.add_argument("--rank", type=int, help="r")
    numbers.add_argument("--alpha", type=float, help="α: the scale is α/r")
    numbers.add_argument("--features", type=int, help="n, the inputs of the adapted matrix (also with a configuration)")
    numbers.add_argument("--features-out", type=int, help="m, its outputs; needed if B does not start at zero")
    numbers.add_argument("--rslora", action="store_true", help="the scale is α/√r")
    numbers.add_argument("--init", default=True, help="a value of PEFT's init_lora_weights, or orthonormal; default: true")
    numbers.add_argument("--variance", type=float, help="variance of A's entries, instead of that of --init")
    text = "the model's safetensors file, index or folder (only headers are read): where a configuration adapts it, or whether "
    add("--model", type=Path, help=f"{text}saved weights fit it")
    add("--dimension", type=float, help="dimension of the span of the features of given data, at most the number of samples")
    add("--failure", type=float, default=0.01, help="probability that the order on given data fails in any module; default: 0.01")
    add("--check", action="store_true", help="exit with status 1 unless every matrix is in order")
    add("--all", action="store_true", help="one row for each matrix, also of similar ones")
    add("--json", action="store_true", help="print everything that was found as JSON")
    add("--html", type=Path, metavar="FILE", help="write the report with figures to one file")
    add("--sarif", type=Path, metavar="FILE", help="write what was found as SARIF, for the tools of a pipeline")


def balance_arguments(command):
    """Add the arguments of `lorantk balance`."""
    add = command.add_argument
    add("path", type=Path, help="folder of an adapter that PEFT saved")
    add("output", type=Path, help="folder to write, which must not exist")
    add("--in-order", action="store_true", help="also lower alpha as far as the order needs it, and enlarge the factors to match")


def parser():
    """Return the parser with all subcommands."""
    top = Parser(prog="lorantk", description="Show the book's results from a build of it, and what they say about an adapter.")
    top.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    build = Parser(add_help=False)
    build.add_argument("--build", type=Path, default=Path("_build"), help="folder that `make book` wrote (_build)")
    for run, text in ((claims, "list every statement with its verdict"), (cite, "cite a figure, a chapter, or the book")):
        commands.add_parser(run.__name__, parents=[build], help=text, description=text).set_defaults(run=run)
    text = "do the book's theorems apply to an adapter? Which of their conditions hold, by what margin, what would meet them"
    commands.add_parser("audit", help=text, description=AUDIT, epilog=STATUS).set_defaults(run=audit)
    audit_arguments(commands.choices["audit"])
    text = "write a copy of an adapter with balanced factors: the same update, and the least κ that any of its factors have"
    commands.add_parser("balance", help=text, description=text).set_defaults(run=balance)
    balance_arguments(commands.choices["balance"])
    commands.choices["claims"].add_argument("--json", action="store_true", help="print everything that is recorded as JSON")
    text = "id of a figure, or topic of a chapter; the book if it is left out"
    commands.choices["cite"].add_argument("work", nargs="?", metavar="FIGURE_ID", default="lorantk", help=text)
    commands.choices["cite"].add_argument("--format", choices=("bibtex", "apa", "csl-json"), default="bibtex")
    return top


def main(arguments=None):
    """Run the command line and return its exit status."""
    from lorantk.auditing.errors import AuditError
    from lorantk.publishing.errors import PublishingError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what the terminal's encoding lacks becomes a question mark
            stream.reconfigure(errors="replace")
    options = parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (CommandError, AuditError, FileNotFoundError) as error:
        status, text = 2, error
    except PublishingError as error:
        status, text = 1, error
    except KeyboardInterrupt:
        status, text = 130, "interrupted"
    except OSError as error:  # such as a full disk
        status, text = 2, f"expected to write the output, got: {error.strerror or error}"
        abandon_output()
    complain(f"lorantk {options.command}: {' '.join(str(text).split())}")
    return status


def abandon_output():
    """Give up what is still to be written, so that the interpreter does not try again and fail when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return


def complain(text):
    """Print one line on stderr, if that can be written."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
