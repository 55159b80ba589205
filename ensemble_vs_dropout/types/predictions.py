"""What members predict, and what an arm costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.files import DAMAGED_ARCHIVE, as_npz, check_archive, write_whole
from ensemble_vs_dropout.types.probabilities import FloatArray, check_probabilities, check_weights


@dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities of every member: networks, dropout passes and enumerated masks are all members.

    Attributes:
        probs: Shape (members, examples, classes), rows summing to 1.
        weights: One non-negative weight for each member, summing to 1, or None for equal ones.
        method: How they were made, in words.
        further: Where the members are passes of one network: what more networks of its kind predict, each combined by
            itself, by rule; shape (networks, examples, classes). Scores are then means over all these networks.

    Raises:
        InputError: Another shape, or values that are not probabilities; the message says which and by how much.

    Example:
        >>> predictions = Predictions(np.full((3, 4, 2), 0.5))
        >>> predictions.members
        3
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     predictions.save(f"{folder}/three.npz")
        ...     Predictions.load(f"{folder}/three.npz").examples
        4
    """

    probs: FloatArray
    weights: FloatArray | None = None
    method: str = ""
    further: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "probs", check_probabilities(self.probs))
        for rule, probs in self.further.items():
            if check_probabilities(probs).shape[1:] != self.probs.shape[1:]:
                raise InputError(
                    f"further[{rule!r}] must have the shape (networks, {self.examples}, {self.classes}), got "
                    f"{np.shape(probs)}"
                )
        if self.weights is not None:
            object.__setattr__(self, "weights", check_weights(self.weights, self.members))

    def __repr__(self) -> str:
        """Return how they were made and their shape; no array is printed."""
        made = f" of {self.method}" if self.method else ""
        return f"Predictions{made}: {self.members} members, {self.examples:,} examples, {self.classes} classes"

    @property
    def members(self) -> int:
        """The number of members."""
        return int(self.probs.shape[0])

    @property
    def examples(self) -> int:
        """The number of examples."""
        return int(self.probs.shape[1])

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.probs.shape[2])

    def save(self, path: str | PathLike[str]) -> None:
        """Write them to `path` as a plain npz, without pickles."""
        arrays = {"probs": self.probs, "method": np.array(self.method)}
        if self.weights is not None:
            arrays["weights"] = self.weights
        arrays |= {f"further/{rule}": probs for rule, probs in self.further.items()}
        write_whole(Path(path), as_npz(arrays))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Predictions:
        """Read what `save` wrote; a file with a pickle inside is refused, and one that does not fit in memory."""
        try:
            check_archive(Path(path))
            with np.load(path, allow_pickle=False) as file:
                further = {name[8:]: file[name] for name in file.files if name.startswith("further/")}
                return cls(file["probs"], file.get("weights"), str(file["method"]), further)
        except DAMAGED_ARCHIVE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} does not hold saved predictions: {error}") from error


@dataclass(frozen=True)
class Cost:
    """What an arm costs, put beside its quality; NaN is what was not measured or cannot be counted.

    A network and a dropout pass are members alike: what is stored or trained once counts once, and what is computed
    for each member counts as often as it is computed.

    Attributes:
        parameters: Numbers to store for prediction.
        trained: Trained examples times parameters, summed over epochs and networks: a measure of training work that
            does not depend on the machine.
        passes: Forward passes for one prediction.
        train_seconds: Measured seconds of training.
        predict_seconds: Measured seconds of predicting the whole test part, compilation aside.
        bytes: What the weights take that are stored for prediction, by their dtypes.
        multiply_adds: Multiply-accumulates (MACs), products of weights with inputs, for one prediction by all members;
            see `models.costs.multiply_adds`.
        trained_multiply_adds: Trained examples times the multiply-accumulates of one network, summed over epochs and
            networks: the forward passes of training; going backward takes about twice as many again, in every arm.
        peak_memory: Bytes of memory that the process held at its highest while it predicted the test part, libraries
            and data included; see `memory.peak_memory`.

    Example:
        >>> Cost(parameters=10, trained=1000, passes=1, train_seconds=2.0, predict_seconds=0.1).multiply_adds
        nan
    """

    parameters: float
    trained: float
    passes: float
    train_seconds: float
    predict_seconds: float
    bytes: float = float("nan")
    multiply_adds: float = float("nan")
    trained_multiply_adds: float = float("nan")
    peak_memory: float = float("nan")
