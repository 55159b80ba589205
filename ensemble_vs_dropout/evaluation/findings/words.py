"""Metrics in words: what sentences about the numbers of a figure say."""

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.measures import METRICS


def metric_label(metric: str) -> str:
    """Return what people call a metric, with the unit; one of the user's own keeps its name.

    Example:
        >>> metric_label("error"), metric_label("my_own")
        ('error (%)', 'my own')
    """
    return METRICS[metric].label if metric in METRICS else str(metric).replace("_", " ")


def better_is(metric: str) -> int:
    """Return 1 where higher is better, -1 where lower is, as of a metric that is not known.

    Example:
        >>> better_is("accuracy"), better_is("error")
        (1, -1)
    """
    return 1 if metric in METRICS and METRICS[metric].higher_is_better else -1


def scale_of(metric: str) -> float:
    """Return by what values are multiplied where people read them.

    Example:
        >>> scale_of("error"), scale_of("my_own")
        (100.0, 1.0)
    """
    return float(METRICS[metric].scale) if metric in METRICS else 1.0


def told(values: npt.ArrayLike, metric: str | None = None) -> str:
    """Return numbers for a sentence, in the unit of the metric.

    Example:
        >>> told([0.1234, 0.2], "error")
        '12.3, 20'
    """
    scale = 1.0 if metric is None else scale_of(metric)
    return ", ".join(f"{value * scale:.3g}" for value in np.atleast_1d(np.asarray(values, dtype=float)))
