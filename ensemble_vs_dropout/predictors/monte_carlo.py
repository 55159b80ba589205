"""Monte Carlo dropout: many passes with dropout on, each the prediction of one thinned network."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ensemble_vs_dropout.checks import InputError, by_keyword, check_at_least, check_known
from ensemble_vs_dropout.measures.stopping import settled
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.heads import declare
from ensemble_vs_dropout.models.inputs import inputs_of
from ensemble_vs_dropout.models.number_heads import NumberHead, read_output, said_of
from ensemble_vs_dropout.models.random_layers import Choice, choose_layers
from ensemble_vs_dropout.predictors.base import Part, Predictor, check_sound, check_weights_known
from ensemble_vs_dropout.predictors.export import fuse
from ensemble_vs_dropout.predictors.passes import Passes
from ensemble_vs_dropout.predictors.thinned import thinned_network
from ensemble_vs_dropout.progress import Progress
from ensemble_vs_dropout.types import FloatArray, IntArray

_AT_ONCE = 2**24  # probabilities held at once: 64 MiB
_LOOK = 5  # passes between two looks at the votes


class MonteCarloDropout(Predictor):
    """Predict many times with the dropout layers random and everything else in inference mode.

    Each pass drops units of each example anew (Gal and Ghahramani 2016). BatchNorm keeps its moving statistics, and
    neither the model's weights nor its own random streams are changed. What pass t draws for example i is a matter of
    the seed, t and i alone: it is the same whatever the batch size and the number of passes.

    What precedes the first random layer is computed once for all passes of a batch (or as many as fit into 64 MiB of
    probabilities), wherever the graph of a functional or sequential model allows.

    Args:
        model: A compiled Keras model with at least one random layer: Dropout, SpatialDropout, GaussianDropout,
            GaussianNoise, AlphaDropout, a recurrent or attention layer with dropout, or a subclass of one.
        passes: How many, at least 1.
        seed: Of the masks.
        masks: "per_example", as in training, or "shared", one mask for all examples: each pass is then one network,
            which `materialise` gives.
        layers: Which of the random layers shall act: "all", "last", names, or a function of a layer. The others are in
            inference mode.
        adaptive: With a number in (0, 1), `predict` with rule="majority_vote" stops drawing for an example once its
            label is certain, or is that of infinitely many passes but for at most this probability; see
            `measures.stopping`. None draws all passes.
        verbose: 2 says what is computed once and what in each pass, and how many passes were saved.
        head: "logits" or "probabilities", of a number "mean" or "normal", where neither its loss nor its last
            activation tells what its outputs are.

    Attributes:
        passes_used: With `adaptive`, how many passes each example of the last prediction took, shape (examples,).

    Raises:
        InputError: The model has no random layer, so that all passes would be the same.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
        >>> model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> MonteCarloDropout(model, passes=10).predict(np.ones((4, 3))).shape
        (4, 2)
        >>> shared = MonteCarloDropout(model, passes=3, masks="shared")
        >>> shared.materialise(0).count_params()  # the thinned network of the first pass
        8
        >>> shared.to_keras().output_shape
        (None, 2)
    """

    def __init__(
        self,
        model: keras.Model,
        passes: int = 100,
        seed: int = 0,
        masks: Literal["per_example", "shared"] = "per_example",
        layers: Choice = "all",
        adaptive: float | None = None,
        verbose: int = 0,
        head: str | None = None,
    ):
        self.model, self._head, self._inputs = model, read_output(model, head), inputs_of([model])
        check_weights_known(model)
        self.passes = check_at_least("passes", passes, 1)
        self.seed = check_at_least("seed", seed, 0)
        self.masks = check_known("masks", masks, ("per_example", "shared"))
        self._chosen = choose_layers(model, layers)
        self._passes = Passes(model, self._chosen, self._head, seed, masks == "shared")
        self._keys = self._passes.keys(0, passes)
        if adaptive is not None and not (isinstance(adaptive, float) and 0 < adaptive < 1):
            raise InputError(f"adaptive must be None or a probability of error in (0, 1), got {adaptive!r}")
        if adaptive is not None and isinstance(self._head, NumberHead):
            raise InputError("adaptive stops by votes, which networks that predict a number have not; leave it out")
        self.adaptive, self.passes_used = adaptive, np.zeros(0, int)
        self._verbose = check_at_least("verbose", verbose, 0)
        self._say(self._passes.halves.describe())

    @property
    def members(self) -> int:
        """The number of passes."""
        return self.passes

    @property
    def multiply_adds(self) -> int:
        """Products of weights with inputs for one example: once before any random layer, the rest in each pass.

        This is for all passes of a batch at once; `adaptive` draws fewer.
        """
        once, each = self._passes.halves.multiply_adds()
        return once + self.passes * each

    @property
    def method(self) -> str:
        """How it predicts, in words."""
        return f"Monte Carlo dropout, {self.passes} passes"

    @by_keyword("rule")
    def predict(
        self, x: Any, *, rule: str = "mean", batch_size: int = 1024, weights: npt.ArrayLike | None = None
    ) -> FloatArray:
        """Return the passes combined by the named rule, shape (examples, classes); see `Predictor.predict`."""
        if self.adaptive is None:
            return super().predict(x, rule=rule, batch_size=batch_size, weights=weights)
        if rule != "majority_vote":
            raise InputError(f'adaptive stops by votes; use rule="majority_vote", got {rule!r}')
        if weights is not None:
            raise InputError("adaptive stops by votes of equal weight; leave out weights")
        shares, used = zip(*(self._vote(batch, first) for first, batch in self._batches(x, batch_size)), strict=True)
        self.passes_used = np.concatenate(used)
        saved = 1 - self.passes_used.mean() / self.passes
        self._say(f"{self.passes_used.mean():.1f} of {self.passes} passes an example were drawn, {saved:.0%} saved")
        return np.concatenate(shares)

    def _vote(self, x: npt.NDArray[np.generic], first: int) -> tuple[FloatArray, IntArray]:
        """Return vote shares and passes used; those who go on draw what they would have drawn among all."""
        votes, used = np.zeros((len(x), self.classes), int), np.zeros(len(x), int)
        rows = np.arange(len(x))
        for start in range(0, self.passes, _LOOK):
            keys = self._keys[start : start + _LOOK]
            probs = self._passes.some(x, first, keys, rows)
            check_sound(probs, start, self.method, first + rows)
            if start == first == 0:
                self._passes.check(x, probs, keys)
            votes[rows] += (probs.argmax(axis=2)[..., None] == np.arange(self.classes)).sum(axis=0)
            used[rows] += len(keys)
            assert self.adaptive is not None
            rows = rows[~settled(votes[rows], self.passes - start - len(keys), self.adaptive)]
            if not len(rows):
                break
        return votes / used[:, None], used

    def _say(self, words: str) -> None:
        if self._verbose == 2:
            with Progress(1, 2) as progress:
                progress.say(words)

    def share(self, other: "MonteCarloDropout") -> None:
        """See `Predictor.share`."""
        self._passes.share(other._passes)

    def _parts(self, x: npt.NDArray[np.generic], first: int) -> Iterator[Part]:
        at_once = max(1, _AT_ONCE // (len(x) * self._head.columns))
        for start in range(0, self.passes, at_once):
            probs = self._passes(x, first, self._keys[start : start + at_once])
            if start == first == 0:
                self._passes.check(x, probs, self._keys[:at_once])
            yield probs, None

    def materialise(self, t: int) -> keras.Model:
        """Return the thinned network of pass t with masks="shared", a compiled Keras model of stock layers.

        Its predictions are those of the pass, it saves as `.keras` and loads without this package.

        Raises:
            InputError: masks is "per_example", so that no one network makes the pass; the model is subclassed; or a
                random layer does more to its input than multiply and add.
        """
        if self.masks != "shared":
            raise InputError('materialise needs masks="shared": with "per_example" each example has its own network')
        check_at_least("t", t, 0)
        act = partial(self._passes.acting_alone, t)
        thinned = thinned_network(self.model, {id(layer): act for layer in self._chosen.layers}, f"pass_{t}")
        return declare(thinned, said_of(self._head))

    def to_keras(self, rule: str = "mean") -> keras.Model:
        """Return one `keras.Model` of all passes' thinned networks and the rule; needs masks="shared"."""
        return fuse([self.materialise(t) for t in range(self.passes)], rule, name="monte_carlo_dropout")
