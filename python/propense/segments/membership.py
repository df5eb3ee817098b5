"""Who is in which segment of a log, at any instant."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import polars as pl

from propense import _core
from propense.audit import Audit
from propense.audit.published import beside, passes
from propense.events import EventLog
from propense.exceptions import DataError, ExpressionError, SegmentError
from propense.features import FeatureSet, user_frame
from propense.goal_types import did_you_mean
from propense.instants import Instant, in_words, to_us
from propense.model import Model, load_model
from propense.progress import track
from propense.segments.definition import Segment
from propense.segments.files import Segments, segments_of

Models: TypeAlias = Mapping[str, "Model | str | Path"] | str | Path
"""Models by name, or the folder whose folders are the models, each named after its folder."""

_Parts: TypeAlias = tuple[str, _core.Plan, _core.Plan, _core.OnnxModel, float, float]


def segment(
    log: EventLog,
    segments: Segments,
    models: Models | None = None,
    *,
    as_of: Instant | None = None,
    audits: Mapping[str, Audit] | None = None,
) -> pl.DataFrame:
    """Say for every user in which segments they are.

    The rules are computed by the same code as in a server, which gives the same answer at the same
    instant from the same events, attributes and models.

    Parameters
    ----------
    log
        The events, with profiles for ``attr(…)``. A column of another kind than a model learnt from is
        a ``DataError``.
    segments
        Segments, one or several, or a folder or file of them. They may read one another.
    models
        What ``score(NAME)`` and ``tier(NAME)`` mean: models, or their folders, by name; or the folder
        whose folders are models, as for :func:`propense.serve`. A model's tiers are cut at its
        ``cut_offs``.
    as_of
        Only events strictly before this instant are seen, by rules and models; a date is its first
        instant, UTC. Left out: just after the log's last event.
    audits
        Audits of models, by name, for segments with ``requires_audit``. Of a model that was given by
        its folder the audit published beside that is found by itself.

    Returns
    -------
    polars.DataFrame
        One row a user with an event before the as_of or a profile, ascending by id: the user column
        as it came, then one Boolean column a segment, ascending by name. Each tier of each model is
        a segment too, such as ``buys.most_likely``.

    Raises
    ------
    SegmentError
        A rule cannot be parsed, names an event, property, attribute, model or segment that there is
        not, compares what cannot be compared, or segments read each other in a circle. Says which
        segment, where in it, and the nearest name.
    ModelError, ExpressionError
        A model cannot be used, or the log lacks what it reads.
    DataError
        The file beside a model that is to be an audit is none.

    Warns
    -----
    UserWarning
        A segment requires audits, and there is none of a model that it reads, or it is no pass: then
        nobody is in it.
    """
    asked = segments_of(segments)
    known = _known(models)
    if not asked and not known:
        raise SegmentError(
            "there is nothing to evaluate: give segments, or models with their tiers"
        )
    for name in sorted(known):
        log = _suited(name, known[name], log)
    log = replace(log, core=log.core.with_profiled_users())
    as_of_us = log.span_us[1] + 1 if as_of is None else to_us(as_of)
    _refuse_clash(log, asked)
    passed = _passed(models, known, audits or {})
    parts = [(*_parts(name, known[name], log, as_of_us), name in passed) for name in sorted(known)]
    definitions = [one.definition for one in asked]
    with track(f"segments as of {in_words(as_of_us)}", log.n_users) as report:
        users, columns, unaudited = _core.segment_users(
            log.core, definitions, parts, as_of_us=as_of_us, report=report
        )
    for name, missing in unaudited:
        warnings.warn(
            f"nobody is in {name}: it requires an audit that is a pass of {', '.join(missing)}",
            stacklevel=2,
        )
    return user_frame(log, users).hstack(pl.DataFrame(columns))


def _known(models: Models | None) -> dict[str, Model]:
    if models is None:
        return {}
    if isinstance(models, str | Path):
        root = Path(models)
        return {
            name: load_model(_core.ModelDirectory.find(root, name))
            for name in _core.ModelDirectory.names(root)
        }
    return {
        name: model if isinstance(model, Model) else load_model(model)
        for name, model in models.items()
    }


def _passed(
    models: Models | None, known: Mapping[str, Model], audits: Mapping[str, Audit]
) -> set[str]:
    """Give the names of the models that have an audit that is a pass."""
    folders: dict[str, Path] = {}
    if isinstance(models, str | Path):
        folders = {name: Path(models) / name for name in known}
    elif models is not None:
        folders = {n: Path(one) for n, one in models.items() if not isinstance(one, Model)}
    passed = {name for name in folders if passes(beside(folders[name]), known[name].digest)}
    for name, audit in audits.items():
        if name not in known:
            raise SegmentError(f"audits: no model {name!r}{did_you_mean(name, list(known))}")
        if audit.verdict == "pass" and audit.model_digest == known[name].digest:
            passed.add(name)
    return passed


def _parts(name: str, model: Model, log: EventLog, as_of_us: int) -> _Parts:
    def plan(features: FeatureSet) -> _core.Plan:
        try:
            return _core.Plan.compile(features.spec, log.core, strict=False, before_us=as_of_us)
        except ExpressionError as error:
            raise ExpressionError(f"model {name!r}: {error}") from None

    audience = FeatureSet(model.goal.audience.condition, timezone=model.features.timezone)
    cuts = model.cut_offs
    return name, plan(model.features), plan(audience), model.core, cuts.most, cuts.least


def _suited(name: str, model: Model, log: EventLog) -> EventLog:
    try:
        return model.suited(log)
    except DataError as error:
        raise DataError(f"model {name!r}: {error}") from None


def _refuse_clash(log: EventLog, segments: Sequence[Segment]) -> None:
    user = log.user_column.name
    if any(one.name == user for one in segments):
        raise SegmentError(
            f"a segment is named {user!r} like the user column; rename that before reading the log"
        )
