"""What an audit allows: numbers that can be changed, and the rules in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from propense.exceptions import DataError


@dataclass(frozen=True)
class AuditPolicy:
    """When an audit warns or blocks.

    Parameters
    ----------
    ratio
        A group's selection rate over that of the group with the highest; below it, with an interval
        that excludes it, is a block. 0.8 is the four-fifths rule.
    warn_ratio
        Below it, whatever the interval, is a warning.
    recall_ratio
        The same for recall, which only warns. Needs outcomes.
    calibration
        A group may reach the goal this many times as often, or as seldom, as its scores say, next to
        everyone; beyond, with an interval that excludes it, is a warning. Needs outcomes.
    proxy_auc
        Features that tell a group from everyone else with at least this AUC are a warning.
    min_people, min_expected
        A group with fewer people, or in which fewer would be chosen (or would count) at everyone's
        rate, is "not enough people" and never judged.
    confidence
        Coverage of every interval, such as 0.95.
    chance_block, chance_warn
        A finding counts only if so many audits of unbiased choices, or fewer, would show any like it:
        a group's exact probability against everyone else, corrected for how many groups were looked at.

    Raises
    ------
    DataError
        A value is out of its range.
    """

    ratio: float = 0.8
    warn_ratio: float = 0.9
    recall_ratio: float = 0.8
    calibration: float = 1.25
    proxy_auc: float = 0.8
    min_people: int = 100
    min_expected: int = 10
    confidence: float = 0.95
    chance_block: float = 0.001
    chance_warn: float = 0.05

    def __post_init__(self) -> None:
        """Check every field."""
        shares = ("ratio", "warn_ratio", "recall_ratio", "proxy_auc", "chance_block", "chance_warn")
        for name in shares:
            if not 0 < getattr(self, name) <= 1:
                raise DataError(
                    f"{name}: expected above 0 and up to 1, found {getattr(self, name)}"
                )
        if not 0 < self.confidence < 1:
            raise DataError(f"confidence: expected between 0 and 1, found {self.confidence}")
        if not self.calibration >= 1:
            raise DataError(f"calibration: expected 1 or more, found {self.calibration}")
        for name in ("min_people", "min_expected"):
            if not getattr(self, name) >= 1:
                raise DataError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        if self.ratio > self.warn_ratio:
            raise DataError(
                f"ratio: expected at most warn_ratio ({self.warn_ratio}), found {self.ratio}"
            )
        if self.chance_block > self.chance_warn:
            raise DataError(
                f"chance_block: expected at most chance_warn ({self.chance_warn}), found "
                f"{self.chance_block}"
            )

    def as_dict(self) -> dict[str, Any]:
        """Give the numbers by name."""
        return asdict(self)

    @property
    def rules(self) -> list[str]:
        """The policy in words."""
        return [
            f"block: a group is chosen at less than {self.ratio:g} times the rate of the group that "
            f"is chosen most, the {100 * self.confidence:g}% interval of that ratio lies below "
            f"{self.ratio:g}, and at most {100 * self.chance_block:g}% of unbiased audits show a group "
            "like it",
            f"warn: a group that is chosen at less than {self.warn_ratio:g} times that rate, has recall "
            f"below {self.recall_ratio:g} times the best group's, or has outcomes {self.calibration:g} "
            "times as many or as few as its scores say, next to everyone, if at most "
            f"{100 * self.chance_warn:g}% of unbiased audits show a group like it; a model that reads a "
            "protected attribute; features that tell a group from the rest with an AUC of "
            f"{self.proxy_auc:g}",
            f"not enough people: fewer than {self.min_people} in the group, or fewer than "
            f"{self.min_expected} of them expected to count at everyone's rate; never judged",
        ]
