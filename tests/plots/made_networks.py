"""Displays of networks and their members, with made-up but realistic numbers."""

import itertools

import numpy as np

from ensemble_vs_dropout import Predictions
from ensemble_vs_dropout.measures import aggregate
from ensemble_vs_dropout.plots.activations import Activations
from ensemble_vs_dropout.plots.disagreement_images import DisagreementImages
from ensemble_vs_dropout.plots.diversity_accuracy_plane import DiversityAccuracyPlane
from ensemble_vs_dropout.plots.exact_enumeration import ExactEnumeration, SmallNetwork
from ensemble_vs_dropout.plots.function_space import FunctionSpace
from ensemble_vs_dropout.plots.kappa_error import KappaError
from ensemble_vs_dropout.plots.rotated_example import RotatedExample

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def softmax(logits):
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def truth(examples=400, classes=10):
    return np.random.default_rng(0).integers(classes, size=examples)


def logits(labels, classes=10, sharpness=5.5, seed=1):
    """What a network trained well enough sees: the true class, and hard examples in which it does not."""
    rng = np.random.default_rng(seed)
    return sharpness * np.eye(classes)[labels] + rng.normal(0, 1.4, (len(labels), classes))


def members(number, shared=1.0, own=1.0, seed=2, examples=400, classes=10):
    """Members that see the same thing up to noise of their own."""
    rng = np.random.default_rng(seed)
    base = logits(truth(examples, classes), classes)
    return Predictions(softmax(shared * base + rng.normal(0, own, (number, examples, classes))))


def small_network(layers, rate, seed, examples=60, units=6, inputs=4):
    """All masks of a network of `layers` ReLU layers under dropout and one mask before the softmax layer."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, inputs))
    labels = (x[:, 0] * x[:, 1] > 0).astype(int)
    kernels = [rng.normal(0, 1.5 / np.sqrt(inputs), (inputs, units))]
    kernels += [rng.normal(0, 1.5 / np.sqrt(units), (units, units)) for _ in range(layers)]
    last = rng.normal(0, 1.5, (units, 2))
    masked = layers + 1
    masks = np.array(list(itertools.product([0, 1], repeat=masked * 3)))
    weights = np.where(masks, 1 - rate, rate).prod(axis=1)
    masks = np.repeat(masks.reshape(len(masks), masked, 3), units // 3, axis=2)  # units come and go in pairs

    def predict(mask):
        h = np.maximum(x @ kernels[0], 0) * mask[0]
        for kernel, own in zip(kernels[1:], mask[1:], strict=True):
            h = np.maximum(h @ kernel, 0) * own
        return softmax(h @ last)

    probs = np.stack([predict(mask / (1 - rate)) for mask in masks])
    pooled = {rule: aggregate(probs, rule, weights / weights.sum()) for rule in ("geometric_mean", "mean")}
    plain = predict(np.ones((masked, units)))
    labels = np.where(rng.random(examples) < 0.85, pooled["mean"].argmax(axis=1), labels)  # as if it were trained
    words = f"{layers} masked layers, rate {rate}, seed {seed}"
    return SmallNetwork(words, layers, rate, plain, pooled["geometric_mean"], pooled["mean"], labels)


def small_networks(seeds=4):
    return [
        small_network(layers, rate, seed)
        for layers, rate, seed in itertools.product((0, 1, 2), (0.2, 0.5), range(seeds))
    ]


def clouds():
    return {
        "independent networks": members(8, own=1.1, seed=3),
        "MC dropout, rate 0.1": passes(0.5, seed=4),
        "MC dropout, rate 0.5": passes(1.3, seed=5),
        "Gaussian subspace": near(base(), 15, 0.8, seed=6),
        "checkpoints": near(base(), 6, 0.35, seed=7),
    }


def base():
    return members(1, own=1.1, seed=8)


def passes(noise, seed):
    """A base network of its own, and passes around it."""
    own = members(1, own=1.1, seed=20 + seed)
    return own, near(own, 20, noise, seed)


def near(net, number, noise, seed):
    """Passes around one network."""
    rng = np.random.default_rng(seed)
    centre = np.log(net.probs[-1])
    return Predictions(softmax(centre + rng.normal(0, noise, (number, *centre.shape))))


def trajectories(runs=3, checkpoints=8, examples=300, classes=10):
    labels = truth(examples, classes)
    start, end = np.zeros((examples, classes)), logits(labels, classes)
    rng, paths, weights = np.random.default_rng(9), [], []
    for _ in range(runs):
        own = rng.normal(0, 1.2, end.shape)
        steps = 1 - np.exp(-np.arange(1, checkpoints + 1) / 2.5)
        noise = rng.normal(0, 0.3, (checkpoints, *end.shape))
        probs = softmax(start + steps[:, None, None] * (end + own) + noise)
        paths.append((np.arange(1, checkpoints + 1) * 2, Predictions(probs)))
        first, last = rng.normal(size=(2, 500))
        weights.append(first + 2 * steps[:, None] * last + rng.normal(0, 0.05, (checkpoints, 500)))
    return paths, labels, weights


def function_space():
    paths, labels, weights = trajectories()
    extra = [near(path, 15, 0.7, seed) for seed, (_, path) in enumerate(paths)]
    return FunctionSpace.from_predictions(paths, labels, dataset="fashion_mnist", weights=weights, extra=extra)


def hidden(side=8, units=60, examples=300):
    """Kernels of two arms, those of dropout more local, and activations, those of dropout sparser."""
    rng = np.random.default_rng(10)
    rows, columns = np.mgrid[:side, :side]
    centres = rng.uniform(0, side - 1, (units, 2))
    spots = np.exp(
        -((rows.ravel()[:, None] - centres[:, 0]) ** 2 + (columns.ravel()[:, None] - centres[:, 1]) ** 2) / 3
    )
    kernels = {"plain": rng.normal(0, 0.1, (side * side, units)), "dropout": spots + rng.normal(0, 0.03, spots.shape)}
    shifts = {"plain": 0.6, "dropout": -0.7}
    spread = rng.normal(0, 0.5, units)
    return kernels, {
        arm: np.maximum(shift + spread + rng.normal(0, 1.2, (examples, units)), 0) for arm, shift in shifts.items()
    }


def turned(passes=30, classes=10):
    amounts = np.linspace(0, 165, 12)
    rng = np.random.default_rng(11)
    scores = np.full((12, classes), -2.0)
    scores[:, 1], scores[:, 5], scores[:, 7] = 5 - amounts / 18, 3 - abs(amounts - 75) / 18, amounts / 25 - 3
    arms = {"mc_dropout": 1.8, "ensemble": 1.2}
    number = {"mc_dropout": passes, "ensemble": 5}
    return amounts, {
        arm: Predictions(softmax(scores + rng.normal(0, noise, (number[arm], 12, classes))))
        for arm, noise in arms.items()
    }


def pictures(number, side=14, dtype="uint8"):
    """A bar that turns."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    angles = np.linspace(0, np.pi, number, endpoint=False)[:, None, None]
    across = abs(columns * np.cos(angles) + rows * np.sin(angles))
    along = abs(rows * np.cos(angles) - columns * np.sin(angles))
    bars = np.clip(2.5 - across, 0, 1) * (along < side / 2.5)
    return (255 * bars).astype(np.uint8) if dtype == "uint8" else bars.astype(dtype)


def rotated():
    amounts, arms = turned()
    names = [str(digit) for digit in range(10)]
    return RotatedExample.from_predictions(
        amounts, arms, dataset="fashion_mnist", classes=names, images=pictures(12), label=1
    )


def arms():
    return {"ensemble": members(10, own=1.1, seed=3), "mc_dropout": near(base(), 30, 0.9, seed=4)}


BUILDERS = {
    "exact_enumeration": lambda: ExactEnumeration.from_predictions(small_networks(), dataset="fashion_mnist"),
    "diversity_accuracy": lambda: DiversityAccuracyPlane.from_predictions(
        base(), clouds(), truth(), dataset="fashion_mnist"
    ),
    "function_space": function_space,
    "activations": lambda: Activations.from_arrays(*hidden(), dataset="fashion_mnist", image_shape=(8, 8)),
    "rotated_example": rotated,
    "kappa_error": lambda: KappaError.from_predictions(arms(), truth(), dataset="fashion_mnist"),
    "disagreement_images": lambda: DisagreementImages.from_predictions(
        arms(), pictures(400), truth(), dataset="fashion_mnist", classes=FASHION
    ),
}
