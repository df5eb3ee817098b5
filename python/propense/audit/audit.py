"""The audit: scores and profiles in, a verdict with its reasons out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from propense.audit.groups import Edges, Grouping, grouped, paired, wanted
from propense.audit.measures import People
from propense.audit.policy import AuditPolicy
from propense.audit.proxies import proxies
from propense.audit.result import Audit
from propense.audit.table import NOT_ENOUGH, as_frame, group_rows
from propense.audit.verdict import LEVELS, Verdict, judge, worst
from propense.events import Profiles, known_attributes
from propense.exceptions import DataError
from propense.features import FeatureSet, names_of_attributes
from propense.goal_types import did_you_mean
from propense.sources import Source, collect, scan
from propense.tiers import TIERS


def audit(
    scores: pl.DataFrame,
    profiles: Profiles | Source,
    protected: Sequence[str] | Mapping[str, Edges] = (),
    *,
    outcomes: pl.DataFrame | None = None,
    selected: str | Sequence[str] | pl.Series = "most_likely",
    features: tuple[FeatureSet, pl.DataFrame] | None = None,
    policy: AuditPolicy | None = None,
    seed: int = 0,
) -> Audit:
    """Say whether users of different groups are chosen alike, and whether that may be acted on.

    Parameters
    ----------
    scores
        From :meth:`propense.Model.score`: the user column first, ``score`` and ``tier``.
    profiles
        Attributes of the users, from :func:`propense.read_profiles`, or any table with the same user
        column. Users without a row have missing attributes; they are counted and not judged.
    protected
        Attributes to compare by, or a mapping from attribute to where bands of a number begin
        (``{"age": [30, 45, 60]}``). Left out: those marked in the profiles.
    outcomes
        The user column and ``reached`` (Boolean), for precision, recall and calibration.
    selected
        Who counts as chosen: tiers, or a Boolean series, one entry a user in the order of ``scores``.
    features
        A feature set and what :func:`propense.compute_features` gives for it, for the proxy check;
        a sample of the users is enough. :meth:`propense.Model.audit` gives them.
    policy
        What is allowed; left out: :class:`AuditPolicy`.
    seed
        Of the bootstrap and the proxy check; equal seeds give equal audits.

    Returns
    -------
    Audit
        The verdict ``pass``, ``warn`` or ``block``, its reasons, and the tables behind it.

    Raises
    ------
    DataError
        A column or protected attribute is missing or has one group only, nobody or everybody is
        chosen, or outcomes lack a user.
    """
    policy = policy or AuditPolicy()
    table, where = _profile_table(profiles, scores.columns[0] if scores.columns else "user_id")
    if not protected and isinstance(profiles, Profiles):
        protected = profiles.protected
    asked = wanted(protected)
    if not asked:
        raise DataError("name the protected attributes to compare by, such as protected=['age']")
    known_attributes(list(asked), table.columns[1:], where)
    people, words = _people(scores, selected, outcomes)
    values = _joined(scores, table.select(table.columns[0], *asked), where)
    singles = [grouped(values[name], edges) for name, edges in asked.items()]
    pairs, apart = paired(singles)
    rows = [
        [row for grouping in family for row in group_rows(people, grouping, policy, seed)]
        for family in (singles, pairs)
    ]
    judged = judge(rows, policy)
    found = [(level, text) for family in judged for each in family for level, text in each.reasons]
    known = None
    if features is not None:
        known = _proxies(*features, scores, singles, seed)
        found += _proxy_findings(known, features[0], list(asked), policy)
    found.sort(key=lambda finding: -LEVELS.index(finding[0]))
    frames = [
        as_frame([(each.row, each.finding) for each in family], outcomes is not None)
        for family in judged
    ]
    return Audit(
        verdict=worst([level for level, _ in found]),
        reasons=tuple(f"{level}: {text}" for level, text in found),
        notes=tuple(_notes(frames, apart, policy, outcomes is not None, features is not None)),
        groups=frames[0],
        pairs=frames[1],
        proxies=known,
        people=len(people),
        selected=words,
        policy=policy,
        _people=people,
        _groupings=(*singles, *pairs),
    )


def _profile_table(profiles: Profiles | Source, user: str) -> tuple[pl.DataFrame, str]:
    if isinstance(profiles, Profiles):
        return profiles.table, "the table of profiles"
    frame, where = scan(profiles, text_columns=(user,))
    table = collect(frame, where)
    if user not in table.columns:
        raise DataError(
            f"{where} has no column {user!r}, the user column of the scores"
            f"{did_you_mean(user, table.columns)}"
        )
    return table.select(user, pl.exclude(user)), where


def _people(
    scores: pl.DataFrame, selected: str | Sequence[str] | pl.Series, outcomes: pl.DataFrame | None
) -> tuple[People, str]:
    """Check the scores and give users as arrays, with who is chosen in words."""
    needed = ["score"] if isinstance(selected, pl.Series) else ["score", "tier"]
    for name in needed:
        if name not in scores.columns:
            found = ", ".join(scores.columns)
            raise DataError(f"the scores have no column {name!r}; the columns are {found}")
    if isinstance(selected, pl.Series):
        if len(selected) != scores.height or selected.dtype != pl.Boolean or selected.null_count():
            raise DataError(
                "selected: expected a Boolean series with one entry for each user scored"
            )
        chosen, words = selected.to_numpy(), "those selected"
    else:
        tiers = [selected] if isinstance(selected, str) else list(selected)
        for tier in tiers:
            if tier not in TIERS:
                hint = did_you_mean(tier, TIERS)
                raise DataError(
                    f"selected: {tier!r} is no tier{hint}; tiers are {', '.join(TIERS)}"
                )
        chosen = scores["tier"].cast(pl.String).is_in(tiers).fill_null(False).to_numpy()
        words = f"those in the tier {' or '.join(tier.replace('_', ' ') for tier in tiers)}"
    share = float(chosen.mean()) if len(chosen) else 0.0
    if share in (0.0, 1.0):
        who = "nobody" if share == 0.0 else "everybody"
        raise DataError(f"{who} of {scores.height:,} users is chosen; there is nothing to compare")
    values = _numbers(scores["score"]).fill_null(float("nan")).to_numpy()
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise DataError("the scores are not all probabilities between 0 and 1")
    return People(chosen, values, _reached(scores, outcomes)), words


def _numbers(column: pl.Series) -> pl.Series:
    """Give scores as numbers; texts of a file that are none are named."""
    if not (column.dtype.is_numeric() or column.dtype == pl.String):
        raise DataError(f"the column 'score' holds {column.dtype}; expected probabilities")
    values = column.cast(pl.Float64, strict=False)
    odd = column.filter(values.is_null() & column.is_not_null())
    if len(odd):
        raise DataError(f"the column 'score' holds {odd[0]!r}; expected probabilities")
    return values


def _reached(scores: pl.DataFrame, outcomes: pl.DataFrame | None) -> NDArray[np.bool_] | None:
    if outcomes is None:
        return None
    user = scores.columns[0]
    for name in (user, "reached"):
        if name not in outcomes.columns:
            found = ", ".join(outcomes.columns)
            raise DataError(f"the outcomes have no column {name!r}; the columns are {found}")
    reached = _joined(scores, outcomes.select(user, pl.col("reached").cast(pl.Boolean)), "outcomes")
    unknown = reached["reached"].null_count()
    if unknown:
        raise DataError(f"the outcomes lack {unknown:,} of the {scores.height:,} users scored")
    return reached["reached"].to_numpy()


def _joined(scores: pl.DataFrame, table: pl.DataFrame, where: str) -> pl.DataFrame:
    """Give the table's rows in the order of the scores; null for users that it lacks."""
    user, key = scores.columns[0], table.columns[0]
    ids = scores.select(pl.col(user).cast(pl.String).alias("__user"))
    if scores[user].n_unique() < scores.height:
        raise DataError(f"the scores have several rows for some users in {user!r}")
    right = table.select(pl.col(key).cast(pl.String).alias("__user"), pl.exclude(key))
    if right["__user"].n_unique() < right.height:
        raise DataError(f"{where}: several rows for some users in {key!r}; expected one each")
    return ids.join(right, on="__user", how="left", maintain_order="left")


def _proxies(
    features: FeatureSet,
    frame: pl.DataFrame,
    scores: pl.DataFrame,
    singles: list[Grouping],
    seed: int,
) -> pl.DataFrame:
    """Check the users that the frame has."""
    for name in (scores.columns[0], *features.names):
        if name not in frame.columns:
            raise DataError(f"the features' frame has no column {name!r}")
    here = frame.select(scores.columns[0], pl.int_range(pl.len()).alias("__row"))
    rows = _joined(scores, here, "features")["__row"]
    users = np.flatnonzero(rows.is_not_null().to_numpy())
    matrix = frame.select(features.names)[rows.drop_nulls()].to_numpy()
    groupings = [Grouping(each.by, each.names, each.codes[users]) for each in singles]
    return proxies(features, matrix, groupings, seed=seed)


def _proxy_findings(
    known: pl.DataFrame, features: FeatureSet, asked: list[str], policy: AuditPolicy
) -> list[tuple[Verdict, str]]:
    found: list[tuple[Verdict, str]] = []
    for attribute in asked:
        direct = names_of_attributes(features, [attribute])
        if direct:
            found.append(("warn", f"{attribute}: read by the model itself: {', '.join(direct)}"))
    for row in known.filter(pl.col("auc") >= policy.proxy_auc).iter_rows(named=True):
        text = (
            f"{row['by']} {row['group']!r}: other features tell this group from the rest with an AUC "
            f"of {row['auc']:.2f}, most of all {row['tells_most']}"
        )
        found.append(("warn", text))
    return found


def _notes(
    frames: list[pl.DataFrame],
    apart: list[str],
    policy: AuditPolicy,
    outcomes: bool,
    features: bool,
) -> list[str]:
    notes = []
    for frame, kind in zip(frames, ("groups", "pairs of groups"), strict=True):
        low = frame.filter(pl.col("finding") == "pass", pl.col("ratio") < policy.warn_ratio).height
        if low:
            notes.append(
                f"{low} of {frame.height} {kind} pass with a ratio below {policy.warn_ratio:g}: more "
                f"than {100 * policy.chance_warn:g}% of unbiased audits show the like"
            )
        few = frame.filter(pl.col("finding") == NOT_ENOUGH)
        if few.height:
            notes.append(
                f"not enough people in {few.height} of {frame.height} {kind}; nothing is said of them"
            )
    notes += [f"no user has both of {by}; the pair is not compared" for by in apart]
    missing = frames[0].filter(pl.col("finding") == "not judged")
    for row in missing.iter_rows(named=True):
        notes.append(f"{row['people']:,} users have no {row['by']}; they are not judged")
    if not outcomes:
        notes.append("outcomes are not known: precision, recall and calibration are left out")
    if not features:
        notes.append(
            "no features were given: whether the model reads these attributes, or features that stand "
            "in for them, is not looked at; an audit of the model itself does"
        )
    return notes
