"""Audit a saved adapter, module by module."""

from pathlib import Path

from lorantk.auditing import consistency, runtimes
from lorantk.auditing.balance import balances
from lorantk.auditing.errors import AuditError
from lorantk.auditing.experts import of_stack
from lorantk.auditing.judge import Question, Shape, judge
from lorantk.auditing.measures import measure
from lorantk.auditing.pairs import Pair, check_shapes, forget
from lorantk.auditing.report import Module, Refused, Report
from lorantk.auditing.saved import Saved
from lorantk.auditing.shared import replicas, shared_matrices
from lorantk.auditing.starts import begin_of
from lorantk.auditing.summary import summarise


def report_on(saved: Saved, question: Question, *, model: Path | None = None, progress=iter) -> Report:
    """Return the report on an adapter.

    Every shape is checked before any weight is read. A module that cannot be audited is refused and does not hide the others.

    Parameters
    ----------
    saved
        The adapter, as its reader hands it over.
    question, model, progress
        What else is asked, the model's files, and what shows progress.

    Raises
    ------
    AuditError
        No module can be audited; the message is that of the first one.
    """
    refused = [pair for pair in saved.pairs if isinstance(pair, Refused)]
    checked = []
    for pair in saved.pairs:
        if isinstance(pair, Pair):
            try:
                checked.append((pair, Shape(pair.name, pair.kind, *check_shapes(pair, saved.given[pair.name].rank))))
            except AuditError as error:
                refused.append(Refused(pair.name, str(error)))
    question = question._replace(layers=max(len(checked), 1))
    modules, texts = [], {}
    for pair, shape in progress(checked):
        try:
            module, text = _judged(saved, pair, shape, question)
        except AuditError as error:
            refused.append(Refused(pair.name, str(error)))
        else:
            modules.append(module)
            texts[text] = None
    forget()
    if not modules:
        raise AuditError(refused[0].reason)
    findings = [*saved.findings, *consistency.dead(modules), *runtimes.differences(modules, saved.rslora)]
    copies = ()
    if model is not None:
        found, copies = _against(saved, model, checked)
        findings += found
    elif saved.configuration is not None:
        copies = replicas(saved.configuration.replication, [module.name for module in modules])
    findings += shared_matrices(copies, modules)
    notes = [*texts, *saved.variants, *saved.remarks]
    source = str(saved.weights.parent if saved.format in ("PEFT", "MLX") else saved.weights)
    facts = {"format": saved.format, "refused": tuple(refused), "consistency": tuple(findings), "balances": balances(saved)}
    return summarise(source, "adapter", modules, notes, **facts)


def _judged(saved: Saved, pair: Pair, shape: Shape, question: Question) -> tuple[Module, str]:
    """Return the report on one module, and a sentence on its start."""
    given, configuration, blocks = saved.given[pair.name], saved.configuration, (pair.A.blocks, pair.B.blocks)
    measures = measure(pair.A.matrix, pair.B.matrix, blocks)
    word = saved.init if max(blocks) == 1 else "unknown"
    begin = begin_of(word, pair.kind, given.rank, shape.features_in, whiten=configuration is not None and configuration.whiten)
    begin = begin if pair.stack == 1 else of_stack(begin, word, pair.stack)
    module = judge(
        shape,
        given,
        word,
        begin,
        rslora=saved.rslora,
        question=question,
        variants=saved.variants,
        bias=saved.bias,
        measures=measures,
        dtypes=(pair.A.tensor.dtype, pair.B.tensor.dtype),
    )
    return module._replace(scales=saved.scales.get(pair.name)), begin.text


def _against(saved: Saved, model: Path, checked: list[tuple[Pair, Shape]]) -> tuple[list, tuple[tuple[str, ...], ...]]:
    """Return findings on names and shapes that are not the model's, and which modules use one matrix with an adapted one."""
    from lorantk.auditing.models import read_model
    from lorantk.auditing.selection import replicated, shapes, sharing

    modules = replicated(saved.configuration, read_model(model))
    every, copies = shapes(modules), sharing(modules, [pair.name for pair, _ in checked])
    known = [(pair, shape) for pair, shape in checked if every.get(pair.key or pair.name, ()) is not None]
    given = {pair.key or pair.name: (shape.features_in, shape.features_out) for pair, shape in known}
    found = consistency.against_model([pair for pair, _ in known], {n: s for n, s in every.items() if s is not None}, given)
    return found, copies
