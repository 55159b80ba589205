"""Networks: recipes of compiled Keras models, which fit themselves to a data set.

A recipe is called with a `Dataset` and gives a new compiled `keras.Model` each time:

    recipe = mlp(units=(256, 256), rate=0.5)
    ensemble = Ensemble(lambda: recipe(data), members=5)

`rate` is the probability to DROP a unit, as in Keras; some papers give the probability to keep it, 1 - rate. A rate
of 0 makes no dropout layer. Rescaling of uint8 images belongs to the model, so that a saved model takes raw input.

The user's own builder stands in the same place: any function of some of `data`, `rate` and `width` that returns a
compiled model.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ensemble_vs_dropout.checks import InputError, check_at_least, check_fraction, check_known, load_named
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.classic_dropout import ClassicDropout
from ensemble_vs_dropout.types import Dataset

Builder = Callable[..., keras.Model]
CONTRACT = (
    "build must be a function of some of data, rate and width, or of nothing, that returns a compiled keras.Model"
)
_DROPOUT = {"inverted": keras.layers.Dropout, "classic": ClassicDropout}


@dataclass(frozen=True)
class Network:
    """A recipe of a network: `recipe(data)` gives a new compiled model for the data's shape and classes.

    Attributes:
        name: What tables call it.
        settings: The arguments it was made with.
        body: `body(shape, rate, input_rate, width)` yields the layers between the input and the logits.

    Example:
        >>> network = mlp(units=[16])
        >>> network.name, network.settings["units"]
        ('mlp', [16])
    """

    name: str
    settings: dict[str, Any]
    body: Callable[..., Iterator[keras.layers.Layer]] = field(repr=False)

    def __call__(self, data: Dataset, rate: float | None = None, width: float = 1.0) -> keras.Model:
        """Return a new compiled model.

        Args:
            data: Gives the shape of an example, its dtype, and the number of classes.
            rate: Overrides the recipe's rate; 0 makes the same network without any dropout.
            width: Multiplies the hidden sizes.
        """
        settings = self.settings
        learning_rate = settings["learning_rate"]
        if settings["decay_steps"]:
            learning_rate = keras.optimizers.schedules.CosineDecay(learning_rate, settings["decay_steps"])
        rates = (settings["rate"], settings["input_rate"])
        if rate is not None:
            rates = (check_fraction("rate", rate), settings["input_rate"] if rate else 0.0)
        if data.x_train.dtype.names:
            raise InputError(
                f"{self.name} takes one input, and {data.name!r} has {len(data.x_train.dtype.names)} "
                f"({', '.join(data.x_train.dtype.names)}); give a network of your own that takes them"
            )
        if data.x_train.dtype.kind == "S":
            raise InputError(
                f"{self.name} takes numbers, and {data.name!r} holds text; give a network of your own that reads it, "
                "as by keras.layers.TextVectorization"
            )
        images = data.x_train.dtype == "uint8"
        layers = [keras.Input(data.input_shape, dtype=data.x_train.dtype.name if images else "float32")]
        if images:
            layers.append(keras.layers.Rescaling(1 / 255))
        layers.extend(self.body(data.input_shape, *rates, width))
        layers.append(keras.layers.Dense(len(data.classes), name="logits"))
        model = keras.Sequential(layers, name=self.name)
        model.compile(
            optimizer=keras.optimizers.get(
                {"class_name": settings["optimizer"], "config": {"learning_rate": learning_rate}}
            ),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model


def mlp(
    units: Sequence[int] = (256, 256),
    depth: int = 1,
    rate: float = 0.0,
    input_rate: float = 0.0,
    activation: str = "relu",
    batch_norm: bool = False,
    max_norm: float | None = None,
    l2: float = 0.0,
    dropout: str = "inverted",
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    decay_steps: int | None = None,
) -> Network:
    """Dense layers, each followed by dropout.

    Args:
        units: The size of each hidden layer.
        depth: How often these layers follow one another: units of (64,) and a depth of 3 are three layers of 64.
        rate: Probability to drop a hidden unit, in [0, 1).
        input_rate: Probability to drop an input.
        activation: Keras' name of one.
        batch_norm: Normalise between each product and its activation.
        dropout: "inverted", Keras' own, or "classic", as it was first published; see `ClassicDropout`.
        max_norm: Largest norm of the weights into a unit (Srivastava et al. 2014), or None.
        l2: Penalty on the squares of the hidden layers' weights, at least 0.
        optimizer: Keras' name of one.
        learning_rate: Of the optimizer.
        decay_steps: Over how many updates (batches) the learning rate falls to 0, along half a cosine; None keeps it.
            A network stopped earlier is a checkpoint of the same schedule.

    Example:
        >>> from ensemble_vs_dropout import load_dataset
        >>> data = load_dataset("digits", train_size=50)
        >>> model = mlp(units=[16])(data, rate=0.5)
        >>> [type(layer).__name__ for layer in model.layers], model.output_shape
        (['Flatten', 'Dense', 'Activation', 'Dropout', 'Dense'], (None, 10))
    """
    settings = _settings(locals())
    for size in units:
        check_at_least("units", size, 1)
    check_at_least("depth", depth, 1)
    if not 0 <= l2 < float("inf"):
        raise InputError(f"l2 must be a number of at least 0, got {l2!r}")
    constraint = keras.constraints.MaxNorm(max_norm, axis=0) if max_norm else None
    penalty = keras.regularizers.L2(l2) if l2 else None

    def body(shape: tuple[int, ...], rate: float, input_rate: float, width: float) -> Iterator[keras.layers.Layer]:
        yield keras.layers.Flatten()
        yield from _dropout(input_rate, dropout)
        for size in (*units,) * depth:
            yield keras.layers.Dense(_scaled(size, width), kernel_constraint=constraint, kernel_regularizer=penalty)
            if batch_norm:
                yield keras.layers.BatchNormalization()
            yield keras.layers.Activation(activation)
            yield from _dropout(rate, dropout)

    return Network("mlp", settings, body)


def lenet(
    rate: float = 0.0,
    dropout: str = "inverted",
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    decay_steps: int | None = None,
) -> Network:
    """Two convolutions of 32 and 64 filters and a dense layer of 128, as in Ovadia et al. (2019).

    Example:
        >>> from ensemble_vs_dropout import load_dataset
        >>> data = load_dataset("digits", train_size=50)
        >>> lenet()(data, rate=0.5).output_shape
        (None, 10)
    """
    settings = _settings({**locals(), "input_rate": 0.0})

    def body(shape: tuple[int, ...], rate: float, input_rate: float, width: float) -> Iterator[keras.layers.Layer]:
        yield from _image("lenet", shape)
        yield keras.layers.Conv2D(_scaled(32, width), 3, activation="relu")
        yield keras.layers.Conv2D(_scaled(64, width), 3, activation="relu")
        yield keras.layers.MaxPooling2D()
        yield from _dropout(rate, dropout)
        yield keras.layers.Flatten()
        yield keras.layers.Dense(_scaled(128, width), activation="relu")
        yield from _dropout(rate, dropout)

    return Network("lenet", settings, body)


def small_cnn(
    filters: Sequence[int] = (16, 32),
    units: int = 64,
    rate: float = 0.0,
    dropout: str = "inverted",
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    decay_steps: int | None = None,
) -> Network:
    """Convolutions, each halved in size by pooling, then one dense layer; dropout before and after the dense one.

    Example:
        >>> from ensemble_vs_dropout import load_dataset
        >>> data = load_dataset("digits", train_size=50)
        >>> small_cnn(filters=[4], units=8)(data).count_params()
        650
    """
    settings = _settings({**locals(), "input_rate": 0.0})

    def body(shape: tuple[int, ...], rate: float, input_rate: float, width: float) -> Iterator[keras.layers.Layer]:
        yield from _image("small_cnn", shape)
        for number in filters:
            yield keras.layers.Conv2D(_scaled(number, width), 3, padding="same", activation="relu")
            yield keras.layers.MaxPooling2D()
        yield keras.layers.Flatten()
        yield from _dropout(rate, dropout)
        yield keras.layers.Dense(_scaled(units, width), activation="relu")
        yield from _dropout(rate, dropout)

    return Network("small_cnn", settings, body)


NETWORKS: dict[str, Callable[..., Network]] = {"mlp": mlp, "lenet": lenet, "small_cnn": small_cnn}


def find_builder(name: str) -> Builder:
    """Return the recipe of that name, or the user's own builder from `package.module:function`.

    Raises:
        InputError: No such recipe, module or function; the message says which.

    Example:
        >>> find_builder("mlp").name
        'mlp'
    """
    if ":" not in name:
        return NETWORKS[check_known("model", name, [*NETWORKS, "package.module:function"])]()
    builder = load_named("model", name)
    if not callable(builder):
        raise InputError(f"model {name!r} must be a function, got {type(builder).__name__}")
    return builder


def build_for(
    builder: Builder, data: Dataset, *, rate: float, width: float = 1.0, needs_rate: bool = True
) -> keras.Model:
    """Call a builder with those of `data`, `rate` and `width` that it takes.

    Args:
        builder: As `CONTRACT` says.
        data: What the network is for.
        rate: Probability to drop a unit.
        width: A factor on the sizes of its layers.
        needs_rate: Whether the builder must take `rate`, to make the network with dropout and without.

    Raises:
        InputError: A builder that takes something else.

    Example:
        >>> from ensemble_vs_dropout import load_dataset
        >>> data = load_dataset("digits", train_size=50)
        >>> build_for(mlp(units=[8]), data, rate=0.5, width=2.0).layers[-1].name
        'logits'
    """
    taken = inspect.signature(builder).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in taken.values())
    given = {"data": data, "rate": rate, "width": width}
    told = (
        f"{getattr(builder, '__name__', builder)!r} takes ({', '.join(taken) or 'nothing'}): def build(data, rate): ..."
    )
    if needs_rate and not anything and "rate" not in taken:
        raise InputError(
            f"build must take the argument rate, so that one function makes the network with dropout and without; "
            f"{told}"
        )
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    strange = [name for name, p in taken.items() if name not in given and p.default is p.empty and p.kind in named]
    if strange:
        raise InputError(f"{CONTRACT}; {told}")
    return builder(**{name: value for name, value in given.items() if anything or name in taken})


def matching_width(builder: Builder, data: Dataset, members: int) -> float:
    """Return the width at which one network has about as many parameters as `members` of width 1, and no more.

    Raises:
        InputError: A builder that cannot make its network wider.

    Example:
        >>> from ensemble_vs_dropout import load_dataset
        >>> data = load_dataset("digits", train_size=50)
        >>> width = matching_width(mlp(units=[8]), data, members=4)
        >>> one, wide = (build_for(mlp(units=[8]), data, rate=0.0, width=each).count_params() for each in (1.0, width))
        >>> round(wide / one, 1)
        4.0
    """
    check_takes_width(builder)
    wanted = members * build_for(builder, data, rate=0.0).count_params()
    low, high = 1.0, float(members)
    for _ in range(10):
        middle = (low + high) / 2
        fits = build_for(builder, data, rate=0.0, width=middle).count_params() <= wanted
        low, high = (middle, high) if fits else (low, middle)
    return low


def check_takes_nothing(build: Builder) -> None:
    """Raise `InputError` if a builder cannot be called without arguments.

    Example:
        >>> check_takes_nothing(lambda: None)
    """
    try:
        taken = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):  # what tells no signature
        return
    wanted = [p.name for p in taken if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if wanted:
        raise InputError(
            f"build must take nothing here, got a function of ({', '.join(wanted)}); give what it takes, as in "
            f"lambda: build({', '.join(f'{name}=...' for name in wanted)})"
        )


def check_takes_width(builder: Builder) -> None:
    """Raise `InputError` unless a builder can make its network wider.

    Example:
        >>> check_takes_width(mlp())
    """
    if not takes_width(builder):
        raise InputError(
            "controls need a builder that takes width (1.0 is the network itself): def build(data, rate, width)"
        )


def takes_width(builder: Builder) -> bool:
    """Return whether a builder can make its network wider.

    Example:
        >>> takes_width(mlp()), takes_width(lambda data, rate: None)
        (True, False)
    """
    return "width" in inspect.signature(builder).parameters


def _settings(arguments: dict[str, Any]) -> dict[str, Any]:
    check_fraction("rate", arguments["rate"])
    check_fraction("input_rate", arguments["input_rate"])
    check_known("dropout", arguments["dropout"], _DROPOUT)
    name = arguments["optimizer"]
    if not isinstance(name, str):
        raise InputError(
            f"optimizer must be the name of one, so that no two members share its state, got {type(name).__name__}; "
            "for another, write a builder of your own"
        )
    if arguments["decay_steps"] is not None:
        check_at_least("decay_steps", arguments["decay_steps"], 1)
    return dict(arguments)


def _dropout(rate: float, kind: str) -> Iterator[keras.layers.Layer]:
    if rate > 0:
        yield _DROPOUT[kind](rate)


def _image(name: str, shape: tuple[int, ...]) -> Iterator[keras.layers.Layer]:
    if len(shape) == 2:
        yield keras.layers.Reshape((*shape, 1))
    elif len(shape) != 3:
        raise InputError(f"{name} needs images, examples of shape (height, width[, channels]), got {shape}; use mlp")


def _scaled(size: int, width: float) -> int:
    return max(1, round(size * width))
