"""Segments on the terminal, in a pipe, and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from propense.instants import in_words, to_us

if TYPE_CHECKING:
    from propense.client import LiveSegment, LiveSegments

_OVERLAPS_SHOWN = 20


def tree(held: LiveSegments) -> Tree:
    """Show segments with what each of them reads beneath it, then the tiers of each model."""
    when = in_words(to_us(held.as_of), always_time=True)
    root = Tree(f"{_count(held.users, 'user')} at {when}", highlight=False)
    named = {segment.name: segment for segment in held}
    put = [segment for segment in held if segment.definition is not None]
    for segment in put:
        _grow(root, segment, named, held.users)
    if not put:
        root.add(Text("no segments yet: propense segments put FILE", "dim"))
    for model in sorted({segment.tier_of for segment in held if segment.tier_of}):
        branch = root.add(Text.assemble("the tiers of the model ", (model, "bold")))
        for segment in held:
            if segment.tier_of == model:
                branch.add(_title(segment, held.users))
    return root


def overlap_table(held: LiveSegments) -> Table:
    """Show the pairs of segments that share most users, and which share of each that is."""
    pairs = sorted(held.overlaps or (), key=lambda pair: (-pair.users, pair.first, pair.second))
    shown = f"the {_OVERLAPS_SHOWN} largest of {len(pairs)}" if len(pairs) > _OVERLAPS_SHOWN else ""
    table = Table(title="users in two segments", title_justify="left", caption=shown or None)
    for head in ("one", "other"):
        table.add_column(head, overflow="fold")
    for head in ("users in both", "of one", "of other"):
        table.add_column(head, justify="right")
    for pair in pairs[:_OVERLAPS_SHOWN]:
        shares = [_share(pair.users, held[name].members) for name in (pair.first, pair.second)]
        table.add_row(pair.first, pair.second, f"{pair.users:,}", *shares)
    return table


def lines(held: LiveSegments) -> Iterator[str]:
    """Give a line a segment: name, members and rule, apart by tabs."""
    for segment in held:
        rule = (
            f"tier of {segment.tier_of}" if segment.definition is None else segment.definition.rule
        )
        yield f"{segment.name}\t{segment.members}\t{' '.join(rule.split())}"


def as_fields(held: LiveSegments) -> dict[str, Any]:
    """Give everything, as JSON's values."""
    overlaps = held.overlaps or ()
    return {
        "users": held.users,
        "as_of": held.as_of.isoformat(),
        "last_transition": held.last_transition,
        "segments": [segment_fields(segment) for segment in held],
        "overlaps": [{"segments": [o.first, o.second], "users": o.users} for o in overlaps],
    }


def segment_fields(segment: LiveSegment) -> dict[str, Any]:
    """Give one segment, as JSON's values; what it has not is left out."""
    definition = {} if segment.definition is None else segment.definition.as_dict()
    for name in ("valid_from", "valid_until"):
        if name in definition:
            definition[name] = definition[name].isoformat()
    fields: dict[str, Any] = {"name": segment.name} | definition
    if segment.tier_of is not None:
        fields["tier_of"] = segment.tier_of
    fields["members"] = segment.members
    if segment.backfill is not None:
        backfill = segment.backfill
        fields["backfill"] = {"done": backfill.users_done, "total": backfill.users_total}
    fields["reads_segments"] = list(segment.reads_segments)
    fields["reads_models"] = list(segment.reads_models)
    if segment.unaudited_models:
        fields["unaudited_models"] = list(segment.unaudited_models)
    return fields


def _grow(above: Tree, segment: LiveSegment, named: dict[str, LiveSegment], users: int) -> None:
    branch = above.add(_title(segment, users))
    for name in segment.reads_segments:
        # Cycles are refused, so this ends.
        _grow(branch, named[name], named, users)


def _title(segment: LiveSegment, users: int) -> Text:
    members = f"{_count(segment.members, 'member')}  ({_share(segment.members, users)})"
    parts = [Text(segment.name, "bold"), Text(members)]
    if segment.backfill is not None:
        done = _share(segment.backfill.users_done, segment.backfill.users_total)
        parts.append(Text(f"{done} of users evaluated so far", "yellow"))
    if segment.unaudited_models:
        models = ", ".join(segment.unaudited_models)
        parts.append(Text(f"nobody, for want of an audit that is a pass: {models}", "red"))
    if segment.definition is not None:
        parts.append(Text(" ".join(segment.definition.rule.split()), "dim"))
    return Text("  ").join(parts)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"
