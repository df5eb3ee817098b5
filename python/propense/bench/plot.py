"""A plot of what was reached beside what was to be reached."""

from __future__ import annotations

from pathlib import Path

from propense.bench.results import Results, number

NEEDS = ("altair", "vl_convert")

_SECTIONS = ("features", "forest", "fusion")
# Who opens the SVG has other fonts than those its labels were measured with, up to a third wider.
_PADDING = {"left": 60, "top": 5, "right": 20, "bottom": 5}


def plot(results: Results, path: Path) -> list[Path]:
    """Draw the rows that compare with a peer and have a target, as ``path`` .svg and .png.

    Returns
    -------
    list of Path
        The files written; none if no row has a ratio and a target.
    """
    import altair

    rows = [
        {"what": row.what, "kind": kind, "times": value, "label": f"{number(value)}×"}
        for row in results.rows
        if row.section in _SECTIONS and row.target and row.value
        for kind, value in (("measured", row.value), ("target", row.target))
    ]
    if not rows:
        return []
    order = list(dict.fromkeys(str(row["what"]) for row in rows))
    data = altair.Data(values=rows)
    scale = altair.Scale(type="log", domainMin=1, clamp=True)
    at = altair.Y("what:N", sort=order, title=None, axis=altair.Axis(labelLimit=420))
    times = altair.X("times:Q", scale=scale, title="times as fast as the peer (logarithmic)")
    base = altair.Chart(data).encode(y=at)
    measured = base.transform_filter("datum.kind == 'measured'").encode(x=times)
    bars = measured.mark_bar(color="#4c78a8", height=14).encode(x2=altair.datum(1))
    texts = measured.mark_text(align="left", dx=4).encode(text="label:N")
    target = base.transform_filter("datum.kind == 'target'").encode(x=times)
    ticks = target.mark_tick(color="#e45756", thickness=3, size=22)
    where = f"{results.machine['cpu']}, {results.machine['cores']} cores"
    title = f"measured (bar) and target (line); {where}"
    chart = (bars + texts + ticks).properties(width=520, title=title, padding=_PADDING)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_suffix(".svg"), path.with_suffix(".png")]
    for file in written:
        chart.save(str(file), scale_factor=2 if file.suffix == ".png" else 1)
    return written
