"""Five networks or one with dropout, where a number is predicted: the progress of diabetes in a year.

    python examples/predict_a_number.py

What must come out: for each way its error, its CRPS and how often its 90 % interval covers the truth, and for each pair
whether a difference is shown. The targets are scaled for training, and all measures are in their own unit.
"""

import keras
import numpy as np
from sklearn.datasets import load_diabetes

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.measures.quantiles import coverage
from ensemble_vs_dropout.measures.regression import pool_normal

REPETITIONS, MEMBERS, PASSES, RATE = 3, 5, 100, 0.1


def build(rate=0.0):
    """Return a network that predicts a mean and a standard deviation."""
    given = keras.Input((10,))
    hidden = given
    for _ in range(2):
        hidden = keras.layers.Dense(32, activation="relu")(hidden)
        hidden = keras.layers.Dropout(rate)(hidden) if rate else hidden
    mean = keras.layers.Dense(1)(hidden)
    scale = keras.layers.Dense(1, activation="softplus")(hidden)
    model = keras.Model(given, keras.layers.Concatenate()([mean, scale]))
    model.compile(keras.optimizers.Adam(0.003), evd.GaussianNLL(beta=0.5))
    return model


def main():
    """Train both ways as often as there are repetitions, and compare them on the same test examples."""
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    train, val, test = order[:250], order[250:310], order[310:]
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    mean, deviation = y[train].mean(), y[train].std()
    scaled = (y - mean) / deviation
    settings = {"epochs": 200, "patience": 20, "validation_data": (x[val], scaled[val]), "verbose": 0}
    arms = {"single": [], "ensemble": [], "dropout": [], "mc_dropout": []}
    for seed in range(REPETITIONS):
        networks = evd.Ensemble(build, members=MEMBERS, seed=seed)
        networks.fit(x[train], scaled[train], **settings)
        with_dropout = evd.Ensemble(lambda: build(RATE), members=1, seed=seed)
        with_dropout.fit(x[train], scaled[train], **settings)
        passes = evd.MonteCarloDropout(with_dropout.models[0], passes=PASSES, seed=seed)
        for arm, predictor in zip(arms, (networks, networks, with_dropout, passes), strict=True):
            arms[arm].append(predictor.predict_members(x[test]).unscaled(mean, deviation))
    rules = {"single": ["each"], "ensemble": ["mixture"], "dropout": ["each"], "mc_dropout": ["mixture"]}
    evaluator = evd.Evaluator(metrics=["rmse", "crps", "gaussian_nll"], rules=rules)
    scores, contrasts = evaluator.tables(arms, y[test])
    print(scores.pivot(index="arm", columns="metric", values="value").reindex(arms).round(2).to_string())
    for arm in ("ensemble", "mc_dropout"):
        pools = [pool_normal(run.means, run.scales) for run in arms[arm]]
        covered = np.mean([coverage(*pool[:2], y[test], pool[2], [0.9]).covered for pool in pools])
        print(f"the 90 % intervals of {arm} cover {covered:.0%}")
    planned = contrasts[contrasts.family == "planned"]
    for row in planned[planned.metric == "crps"].itertuples():
        shown = {"a": row.arm_a, "b": row.arm_b, "neither": "no difference shown"}[row.better]
        print(f"CRPS of {row.arm_a} less {row.arm_b}: {row.difference:.2f} ({row.low:.2f} to {row.high:.2f}): {shown}")


if __name__ == "__main__":
    main()
