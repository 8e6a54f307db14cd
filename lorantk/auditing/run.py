"""Audit numbers, a configuration or a saved adapter."""

from numbers import Real
from pathlib import Path

from lorantk.auditing.configuration import (
    Configuration,
    Settings,
    check_positive,
    check_whole,
    is_target,
    read_configuration,
    scale_of,
    settings,
)
from lorantk.auditing.errors import AuditError
from lorantk.auditing.files import find
from lorantk.auditing.judge import ROUNDING, Question, Shape, judge
from lorantk.auditing.report import Report
from lorantk.auditing.starts import check_init, embedding_start, start
from lorantk.auditing.summary import summarise


def audit(
    path=None,
    *,
    rank=None,
    alpha=None,
    features=None,
    features_out=None,
    rslora=False,
    init=True,
    variance=None,
    model=None,
    dimension=None,
    failure=0.01,
    progress=None,
) -> Report:
    """Say which of the book's conditions hold for an adapter, how strongly, and what would make them hold.

    Give numbers (``rank``, ``alpha``, ``features``), or the path of an adapter that PEFT saved (its folder or its
    ``.safetensors`` file), or that of an ``adapter_config.json`` with ``model`` or ``features``.

    Parameters
    ----------
    path
        An adapter's folder, weights or configuration; only safetensors and JSON are read.
    rank, alpha, features, features_out
        ``r``, α, and the inputs n and outputs m of the adapted matrix.
    rslora
        Whether the scale is ``α/√r`` in place of ``α/r``.
    init
        A value of PEFT's `init_lora_weights`, or ``"orthonormal"``: A with orthonormal rows.
    variance
        Variance of A's entries, in place of that of `init`; B = 0.
    model
        For a configuration: a safetensors file of the model, the index of several, or the folder of either; headers are read.
    dimension
        Dimension d that the features of given data span, at most the number of samples (of tokens): adds the order on such data.
    failure
        δ: the safe capacity holds in all modules at once with probability at least 1 - δ.
    progress
        A function of the list of modules that returns it while showing progress, such as tqdm.

    Returns
    -------
    Report
        Plain data; `Report.to_dict` gives it as JSON, and a notebook shows it as a table.

    Raises
    ------
    AuditError
        Input that cannot be audited, in one line that names the file and the tensor or key.
    """
    if dimension is not None:
        dimension = check_positive(dimension, "dimension")
    if isinstance(failure, bool) or not isinstance(failure, Real) or not 1e-300 < failure < 1:
        raise AuditError(f"failure: expected a probability between 0 and 1, got {failure!r}")
    question = Question(dimension, failure)
    if path is None:
        if model is not None:
            raise AuditError("model: expected an adapter_config.json beside it, got none")
        return _numbers(rank, alpha, features, features_out, rslora, init, variance, question)
    if not (rank is None and alpha is None and not rslora and init is True and variance is None):
        raise AuditError(f"{path}: expected no rank, alpha, rslora, init or variance beside a path, which says them itself")
    found = find(Path(path))
    configuration = read_configuration(found.configuration)
    if found.weights is None:
        return _configured(configuration, features, features_out, model, question)
    if features is not None or features_out is not None or model is not None:
        raise AuditError(f"{path}: expected no features or model beside saved weights, which say their shapes themselves")
    return _saved(configuration, found.weights, question, progress or iter)


def _start(word: str, shape: Shape, given: Settings, **options):
    return embedding_start(word) if shape.kind == "embedding" else start(word, given.rank, shape.features_in, **options)


def _check_outputs(word: str, features_out) -> None:
    if word in ("false", "orthogonal") and features_out is None:
        raise AuditError(f"features_out: expected the outputs m, as B is not zero with init_lora_weights = {word}, got None")


def _numbers(rank, alpha, features, features_out, rslora, init, variance, question) -> Report:
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
    return summarise("numbers", "numbers", [module], [begin.text])


def _configured(configuration: Configuration, features, features_out, model, question) -> Report:
    where = configuration.where
    word = check_init(configuration.init, where)
    if (model is None) == (features is None):
        raise AuditError(f"{where}: expected either a model or features, which the configuration does not say, got both or none")
    if model is not None:
        if features_out is not None:
            raise AuditError(f"{where}: expected no features_out beside a model, which says its shapes itself")
        from lorantk.auditing.models import model_shapes

        every = model_shapes(Path(model), configuration.fan_in_fan_out)
        shapes = [shape for shape in every if is_target(configuration, shape.name)]
        if not shapes:
            raise AuditError(f"{where}: expected target_modules among the modules of {model}, got none of its {len(every)}")
    else:
        check_whole(features, "features")
        shapes = [Shape("adapter", "linear", features, features_out and check_whole(features_out, "features_out"))]
    question = question._replace(layers=len(shapes))
    modules, texts = [], {}
    for shape in shapes:
        given = settings(configuration, shape.name)
        _check_outputs(word, shape.features_out)
        begin = _start(word, shape, given, whiten=configuration.whiten)
        texts[begin.text] = None
        options = {"rslora": configuration.rslora, "variants": configuration.variants, "question": question}
        modules.append(judge(shape, given, word, begin, **options))
    return summarise(where, "configuration", modules, [*texts, *configuration.variants, *configuration.remarks])


def _saved(configuration: Configuration, weights: Path, question: Question, progress) -> Report:
    from lorantk.auditing.measures import measure
    from lorantk.auditing.pairs import check_shapes, pair_tensors
    from lorantk.auditing.tensors import read_header, read_tensor

    word = check_init(configuration.init, configuration.where)
    pairs, others = pair_tensors(read_header(weights), weights)
    question = question._replace(layers=len(pairs))
    # Every shape is checked before any weight is read: a wrong adapter fails at once.
    checked = [(pair, settings(configuration, pair.name)) for pair in pairs]
    shapes = [Shape(pair.name, pair.kind, *check_shapes(pair, given.rank, weights)) for pair, given in checked]
    modules, texts = [], {}
    for (pair, given), shape in progress(list(zip(checked, shapes, strict=True))):
        A = read_tensor(weights, pair.A).reshape(given.rank, -1)
        gram_A, entries_A = A @ A.T, A.size
        del A  # one factor at a time
        B = read_tensor(weights, pair.B).reshape(-1, given.rank)
        found = measure(gram_A, B.T @ B, entries_A, B.size)
        begin = _start(word, shape, given, whiten=configuration.whiten)
        texts[begin.text] = None
        stored = max(pair.A.dtype, pair.B.dtype, key=ROUNDING.get)
        options = {"rslora": configuration.rslora, "variants": configuration.variants, "question": question}
        modules.append(judge(shape, given, word, begin, measures=found, dtype=stored, **options))
    notes = [*texts, *configuration.variants, *configuration.remarks]
    if others:
        notes.append(f"not audited, as they are no low-rank factors: {len(others)} of the file's tensors, such as {others[0]}")
    return summarise(str(weights.parent), "adapter", modules, notes)
