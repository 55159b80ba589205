"""What a study comes to: its runs, each trained once, and which of them are trained together.

A run is what is trained for one arm of one point and repetition: `plain` (networks without dropout, which do not depend
on the rate) or `dropout`. Points share the runs that they have in common.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble_vs_dropout.runs import sha256
from ensemble_vs_dropout.studies.spec import Settings, Study

# What is judged about trained networks, and by whose seeds they draw: runs that differ in these alone are trained
# together.
_APART = ("seed", "repetition", "members", "passes", "rules", "metrics", "resamples", "shifts", "other_data")
_DROPOUT_ONLY = ("rate", "passes")
RESULTS = 1  # raised when a change of the package alters what a run finds
TOGETHER = 120  # networks of one group at most: what an interruption can cost


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        spec: All that it is; the same spec is the same run, whatever study asks for it.
    """

    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of its folder: data, arm and the digest of its spec."""
        words = re.sub(r"[^\w.-]+", "_", Path(self.spec["dataset"]).stem).strip("._") or "data"
        return f"{words[:40]}-{self.spec['arm']}-{digest(self.spec)[:16]}"

    @property
    def members(self) -> int:
        """The networks to train."""
        return int(self.spec["members"])


@dataclass(frozen=True)
class Point:
    """One point and repetition of a study: the varied keys, and the runs it takes."""

    keys: dict[str, Any]
    repetition: int
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Group:
    """Runs that differ in seed and members alone, trained together.

    Attributes:
        runs: The runs.
        members: The networks of all runs of the plan's group, of which these may be what is left.
    """

    runs: tuple[Run, ...]
    members: int


@dataclass(frozen=True)
class Plan:
    """All points of a study, its runs without repetition, and their groups."""

    study: Study
    points: tuple[Point, ...]
    runs: tuple[Run, ...]
    groups: tuple[Group, ...]


def make_plan(study: Study, together: int = TOGETHER) -> Plan:
    """Return the plan of a study.

    Args:
        study: As `read_study` gives it.
        together: Networks of one group, at most; a run is never cut.

    Example:
        >>> study = Study(name="s", base={"dataset": "digits"}, grid={"rate": [0.2, 0.5]}, repetitions=2)
        >>> plan = make_plan(study)
        >>> len(plan.points), len(plan.runs), len(plan.groups)
        (4, 6, 3)
    """
    points = []
    for keys, settings in study.points():
        for repetition in range(study.repetitions):
            runs = tuple(_run(settings, arm, repetition) for arm in settings.arms)
            points.append(Point(keys, repetition, runs))
    runs_by_name = {run.name: run for point in points for run in point.runs}
    alike: dict[str, list[Run]] = {}
    for run in runs_by_name.values():
        alike.setdefault(digest({k: v for k, v in run.spec.items() if k not in _APART}), []).append(run)
    groups = [group for several in alike.values() for group in _cut(several, together)]
    return Plan(study, tuple(points), tuple(runs_by_name.values()), tuple(groups))


def digest(content: Any) -> str:
    """Return the sha256 of a specification, whatever the order of its keys.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _run(settings: Settings, arm: str, repetition: int) -> Run:
    spec = json.loads(settings.model_dump_json(exclude={"arms"}))
    for key in _DROPOUT_ONLY if arm == "plain" else ():
        del spec[key]
    file = Path(settings.dataset).expanduser()
    content = {"data_sha256": sha256(file)} if file.is_file() else {}  # a changed file is other data
    return Run({"arm": arm, "repetition": repetition, **content, **spec})


def _cut(runs: Sequence[Run], together: int) -> list[Group]:
    groups: list[list[Run]] = [[]]
    for run in runs:
        if groups[-1] and sum(one.members for one in groups[-1]) + run.members > together:
            groups.append([])
        groups[-1].append(run)
    return [Group(tuple(group), sum(run.members for run in group)) for group in groups]
