"""The report of a model: facts and charts put together, and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from propense.output import write_bytes, write_text
from propense.report import charts as draw
from propense.report import facts
from propense.report.changes import changes
from propense.report.page import Contents, page
from propense.report.quality import quality
from propense.report.words import feature_words

if TYPE_CHECKING:
    from propense.audit import Audit
    from propense.model import Model


@dataclass(frozen=True)
class Report:
    """A model on one page.

    Attributes
    ----------
    html
        The page: one file that loads nothing and runs no script.
    charts
        Its charts by name, each with ``svg`` and ``png``.
    """

    html: str
    charts: dict[str, draw.Chart]

    def save(self, path: str | Path) -> Path:
        """Write the page, and each chart as PNG and SVG into a folder beside it.

        The folder of ``report.html`` is ``report_charts``.

        Raises
        ------
        OutputError
            They cannot be written.
        """
        path = Path(path)
        folder = path.with_name(f"{path.stem}_charts")
        for name, chart in self.charts.items():
            write_text(chart.svg, folder / f"{name}.svg")
            write_bytes(chart.png, folder / f"{name}.png")
        return write_text(self.html, path)


def report(model: Model, previous: Model | None = None, audit: Audit | None = None) -> Report:
    """Sum up a model; see :meth:`propense.Model.report`."""
    draw.require_altair()
    tiers = facts.tier_facts(model)
    picked, best = facts.picks(model), facts.drivers(model)
    scores, labels = model.test
    curve = facts.gains(scores, labels)
    cuts = model.cut_offs
    drawn = [
        draw.gains_chart(curve, picked),
        draw.calibration_chart(model.metrics["deciles"]),
        draw.distribution_chart(
            facts.histogram(model.audience, cuts.most, cuts.least), cuts.most, cuts.least
        ),
        draw.tiers_chart(tiers),
    ]
    if picked is not None:
        drawn.append(draw.picks_chart(picked))
    if model.past is not None and model.past.cuts:
        timezone, retrained = model.features.timezone, model.past.retrained
        drawn.append(draw.backtest_chart(model.backtest, timezone, retrained))
    if best is not None:
        drawn.append(draw.drivers_chart(best, [feature_words(text) for text in best["expression"]]))
    known = {chart.name: chart for chart in drawn}
    contents = Contents(
        model=model,
        quality=quality(model),
        tiers=tiers,
        picks=picked,
        drivers=best,
        ahead=facts.next_period(model),
        changes=changes(model, previous),
        audit=audit,
        charts=known,
    )
    return Report(page(contents), known)
