"""The numbers behind every figure, computed without drawing anything: one module for each display of `plots`."""

from ensemble_vs_dropout.evaluation.findings.base import Fact, Finding

__all__ = ["Fact", "Finding"]
