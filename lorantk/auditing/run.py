"""Audit numbers, a configuration or a saved adapter: one function for each."""

from numbers import Real
from pathlib import Path

from lorantk.auditing import consistency
from lorantk.auditing.configuration import (
    Settings,
    check_positive,
    check_whole,
    hits,
    read_configuration,
    scale_of,
    settings,
)
from lorantk.auditing.errors import AuditError
from lorantk.auditing.experts import of_stack
from lorantk.auditing.judge import Question, Shape, judge
from lorantk.auditing.report import Refused, Report
from lorantk.auditing.safe_files import WEIGHTS, find
from lorantk.auditing.selection import UNMATCHED, Selection, Target, select
from lorantk.auditing.shared import shared_matrices
from lorantk.auditing.starts import begin_of, check_init, start
from lorantk.auditing.summary import summarise


class Audit(Report):
    """A report that displays itself: as a table at a prompt, with figures in a notebook."""

    __slots__ = ()

    def _repr_html_(self):
        """Return the report as a notebook shows it."""
        from lorantk.auditing.html import fragment

        return fragment(self)

    def __repr__(self):
        """Return the table of the command line, without colours, for a prompt."""
        from lorantk.auditing.terminal import render

        return render(self)


def _question(dimension, failure) -> Question:
    if dimension is not None:
        dimension = check_positive(dimension, "dimension")
    if isinstance(failure, bool) or not isinstance(failure, Real) or not 1e-300 < failure < 1:
        raise AuditError(f"failure: expected a probability between 0 and 1, got {failure!r}")
    return Question(dimension, failure)


def _check_outputs(word: str, features_out) -> None:
    if word in ("false", "orthogonal") and features_out is None:
        raise AuditError(f"features_out: expected the outputs m, since B is not zero with init_lora_weights = {word}, got None")


def audit_numbers(
    *,
    rank,
    alpha,
    features,
    features_out=None,
    rslora=False,
    init=True,
    variance=None,
    dimension=None,
    failure=0.01,
) -> Audit:
    """Say which of the book's conditions hold for an adapter of one matrix, before its entries are drawn.

    Parameters
    ----------
    rank, alpha, features
        ``r``, α, and the number n of inputs of the adapted matrix.
    features_out
        Its number m of outputs; needed if B does not start at zero.
    rslora
        Whether the scale is ``α/√r`` instead of ``α/r``.
    init
        A value of PEFT's `init_lora_weights`, or ``"orthonormal"``: A with orthonormal rows.
    variance
        Variance of A's entries, instead of that of `init`; B = 0.
    dimension
        Dimension d of the span of the features of given data, at most the number of samples (or tokens). Adds the order on
        such data.
    failure
        δ: the safe capacity holds with probability at least 1 - δ.

    Returns
    -------
    Audit
        Plain data; `to_dict` gives it as JSON, and a notebook shows it as a table.

    Raises
    ------
    AuditError
        A number is out of range; the message is one line that names it.

    Examples
    --------
    >>> import lorantk
    >>> report = lorantk.audit_numbers(rank=8, alpha=16, features=1024)
    >>> report.overall.order, round(report.modules[0].condition.value, 2)
    (False, 1.58)
    """
    question = _question(dimension, failure)
    rank, alpha = check_whole(rank, "rank"), check_positive(alpha, "alpha")
    features = check_whole(features, "features")
    features_out = None if features_out is None else check_whole(features_out, "features_out")
    variance = None if variance is None else check_positive(variance, "variance")
    word = check_init(init, "init")
    _check_outputs(word if variance is None else "", features_out)
    if word == "orthonormal" and rank > features:
        raise AuditError(f"rank: expected at most {features} orthonormal rows, got {rank}")
    given = Settings(rank, alpha, scale_of(alpha, rank, rslora))
    shape = Shape("adapter", "linear", features, features_out)
    begin = start(word, rank, features, variance=variance)
    module = judge(shape, given, word, begin, rslora=rslora, question=question, variance=variance)
    return Audit(*summarise("numbers", "numbers", [module], [begin.text]))


def audit_configuration(path, *, model=None, features=None, features_out=None, dimension=None, failure=0.01) -> Audit:
    """Say which of the book's conditions hold for the adapter that PEFT would make from an `adapter_config.json`.

    Parameters
    ----------
    path
        The configuration, or the folder that contains it.
    model
        A safetensors file of the model, the index of several, or the folder that contains either; only headers are read.
    features, features_out
        Instead of a model: the inputs n and outputs m of one adapted matrix.
    dimension, failure
        As in `audit_numbers`; the safe capacity holds in all modules at once.

    Returns
    -------
    Audit
        As in `audit_numbers`.

    Raises
    ------
    AuditError
        The input cannot be audited; the message is one line that names the file and the key.
    """
    question = _question(dimension, failure)
    configuration = read_configuration(find(Path(path)).configuration)
    where = configuration.where
    word = check_init(configuration.init, where)
    if (model is None) == (features is None):
        text = f"expected either a model or features, as a configuration without {WEIGHTS} gives no shapes"
        raise AuditError(f"{where}: {text}, got {'neither' if model is None else 'both'}")
    if model is not None:
        if features_out is not None:
            raise AuditError(f"{where}: expected no features_out with a model, which already gives the shapes")
        from lorantk.auditing.models import read_model

        selection = select(configuration, read_model(Path(model)))
        if not selection.targets:
            reason = "; ".join(f"{name}: {why}" for name, why in list(selection.refused.items())[:3]) or "none of its names"
            raise AuditError(f"{where}: expected target_modules that PEFT adapts in {model}, got {reason}")
    else:
        check_whole(features, "features")
        shape = Shape("adapter", "linear", features, features_out and check_whole(features_out, "features_out"))
        selection = Selection([Target(shape, shape.name)], {}, configuration)
    configuration, question = selection.configuration, question._replace(layers=len(selection.targets))
    modules, texts, scales, keys = [], {}, {}, []
    for shape, key, stack, caveat in selection.targets:
        given = scales[shape.name] = settings(configuration, key)
        keys.append(key)
        _check_outputs(word, shape.features_out)
        begin = begin_of(word, shape.kind, given.rank, shape.features_in, whiten=configuration.whiten)
        begin = begin if stack == 1 else of_stack(begin, word, stack)
        texts[begin.text] = None
        options = {"rslora": configuration.rslora, "variants": configuration.variants, "question": question}
        options["bias"] = configuration.bias
        module = judge(shape, given, word, begin, **options)
        modules.append(module._replace(notes=(*module.notes, caveat)) if caveat else module)
    refused = tuple(Refused(name, f"{name}: {reason}") for name, reason in selection.refused.items())
    notes = [*texts, *configuration.variants, *configuration.remarks, *selection.notes]
    findings = [*consistency.declared(configuration, scales), *consistency.options(configuration)]
    if model is not None:
        ranks, alphas = ({key: hits(patterns, key) for key in keys} for patterns in (configuration.ranks, configuration.alphas))
        present = [name for name, reason in selection.refused.items() if reason != UNMATCHED]
        findings += consistency.unmatched(configuration, keys, ranks, alphas, saved=False, refused=present)
    findings = (*findings, *shared_matrices(selection.shared, modules))
    return Audit(*summarise(where, "configuration", modules, notes, refused=refused, consistency=findings))


def audit_adapter(path, *, model=None, dimension=None, failure=0.01, progress=iter) -> Audit:
    """Say which of the book's conditions hold for a saved adapter, at its start and as saved.

    Parameters
    ----------
    path
        Its folder, its ``.safetensors`` file or its ``.gguf`` file: of PEFT, kohya, diffusers, MLX or llama.cpp. Only
        safetensors, GGUF and JSON are read.
    model
        The model, as in `audit_configuration`, to compare names and shapes with.
    dimension, failure
        As in `audit_numbers`; the safe capacity holds in all modules at once.
    progress
        A function that iterates over the list of modules and shows progress, such as tqdm.

    Returns
    -------
    Audit
        As in `audit_numbers`. Modules that cannot be audited are in `refused`.

    Raises
    ------
    AuditError
        The input cannot be audited; the message is one line that names the file and the tensor or key.
    """
    question = _question(dimension, failure)
    found = find(Path(path))
    if found.weights is None:
        raise AuditError(f"{path}: expected saved weights, got a configuration alone; audit_configuration reads that")
    from lorantk.auditing.adapters import report_on
    from lorantk.auditing.formats import read_saved

    return Audit(*report_on(read_saved(found), question, model=model and Path(model), progress=progress))
