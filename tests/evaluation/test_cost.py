"""What an arm costs: the mean over repetitions, and what `compare` fills in for every arm."""

import math

import numpy as np
import psutil
import pytest

from ensemble_vs_dropout.evaluation.cost import cost_table
from ensemble_vs_dropout.experiments.ways import Ways
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.predictors import Ensemble
from ensemble_vs_dropout.types import Cost


def test_cost_is_the_mean_over_repetitions_in_the_order_of_the_arms():
    table = cost_table(
        {
            "wide": [Cost(10, 100, 1, 2.0, 0.1, 40, 9, 90, 1e6), Cost(30, 300, 3, 4.0, 0.3, 120, 27, 270, 3e6)],
            "ensemble": [Cost(50, 500, 5, 10.0, 0.5, 200, 45, 450, 5e6)],
        }
    )
    assert table.columns.tolist() == [
        "arm", "parameters", "trained", "passes", "train_seconds", "predict_seconds", "bytes", "multiply_adds",
        "trained_multiply_adds", "peak_memory",
    ]  # fmt: skip
    assert table.arm.tolist() == ["wide", "ensemble"]
    assert table.iloc[0, 1:].tolist() == pytest.approx([20, 200, 2, 3.0, 0.2, 80, 18, 180, 2e6])
    assert table.iloc[1, 1:].tolist() == pytest.approx([50, 500, 5, 10.0, 0.5, 200, 45, 450, 5e6])


def test_what_was_not_measured_stays_unknown_and_what_was_once_is_told():
    table = cost_table({"single": [Cost(10, 100, 1, 2.0, 0.1)], "wide": [Cost(1, 1, 1, 1, 1), Cost(1, 1, 1, 1, 1, 40)]})
    assert math.isnan(table.bytes[0])
    assert math.isnan(table.peak_memory[1])
    assert table.bytes[1] == 40


# What `compare` fills in


class Subclassed(keras.Model):
    def __init__(self, rate):
        super().__init__()
        self.drop, self.out = keras.layers.Dropout(rate), keras.layers.Dense(3)

    def call(self, inputs, training=False):
        return self.out(self.drop(inputs, training=training))


def subclassed(rate):
    model = Subclassed(rate)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model(np.zeros((1, 6), "float32"))
    return model


@pytest.fixture
def costs(blobs, toy_dataset):
    """A function of a builder that returns the data and what each arm of two networks and three passes costs."""

    def measured(build):
        data = toy_dataset(*blobs(90))
        ways, found, parts = Ways(), {}, {"val": data.x_val, "test": data.x_test}
        for kind, rate in (("plain", 0.0), ("dropout", 0.5), ("wide", 0.0)):
            trained = Ensemble(lambda rate=rate: build(rate), 1 if kind == "wide" else 2)
            trained.fit(data.x_train, data.y_train, epochs=2, verbose=0)
            found |= ways(kind, trained, len(data.x_train), parts, passes=3, seed=0)[1]
        return data, found

    return measured


@pytest.mark.slow
def test_every_arm_costs_what_its_networks_and_passes_do(costs, small):
    data, cost = costs(small)
    network, first, rest = 6 * 8 + 8 + 8 * 3 + 3, 6 * 8, 8 * 3
    networks = {"single": 1, "ensemble": 2, "dropout": 1, "mc_dropout": 1, "dropout_ensemble": 2, "wide": 1}
    assert {arm: one.parameters for arm, one in cost.items()} == {arm: n * network for arm, n in networks.items()}
    assert {arm: one.bytes for arm, one in cost.items()} == {arm: 4 * n * network for arm, n in networks.items()}
    steps = 2 * len(data.x_train)  # two epochs
    assert {arm: one.trained for arm, one in cost.items()} == {arm: n * network * steps for arm, n in networks.items()}
    assert {arm: one.trained_multiply_adds for arm, one in cost.items()} == {
        arm: n * (first + rest) * steps for arm, n in networks.items()
    }
    products = {arm: n * (first + rest) for arm, n in networks.items()} | {"mc_dropout": first + 3 * rest}
    assert {arm: one.multiply_adds for arm, one in cost.items()} == products
    assert [one.passes for one in cost.values()] == [1, 2, 1, 3, 2, 1]
    assert cost["single"].predict_seconds > 0  # it is measured by itself, as its memory is
    held = psutil.Process().memory_info().rss
    assert all(0.5 * held < one.peak_memory < 2 * held for one in cost.values())


@pytest.mark.slow
def test_bytes_are_those_of_the_type_that_weights_are_stored_in(costs, small):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        _, cost = costs(small)
    finally:
        keras.config.set_dtype_policy(policy)
    assert cost["ensemble"].bytes == 2 * cost["ensemble"].parameters


@pytest.mark.slow
def test_products_that_cannot_be_counted_are_unknown_and_stop_nothing(costs):
    _, cost = costs(subclassed)
    assert all(math.isnan(one.multiply_adds) and math.isnan(one.trained_multiply_adds) for one in cost.values())
    assert cost["mc_dropout"].bytes == 4 * (6 * 3 + 3)
