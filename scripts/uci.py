"""Five networks or one with dropout on the UCI sets of regression, on the published splits.

    python scripts/uci.py --data FOLDER                        # five small sets at 400 epochs
    python scripts/uci.py --data FOLDER --epochs 4000          # as the published files are named

The protocol of Gal's 2018 re-run of Gal and Ghahramani (2016): one hidden layer of 50 units, dropout before each layer,
squared errors, a mean of Monte Carlo passes, a common noise. Both ways are tuned on a fifth of each training part, with
four candidates each: rates of dropout, or factors of L2 for networks without. Their noise is the likeliest there. Then
they are trained on the whole training part and judged on the test part, paired over the splits (Nadeau and Bengio
2003). FOLDER has `uci_NAME.npz` with `x` and `y`; the splits are those of Hernandez-Lobato and Adams (2015).

What must come out: for each set RMSE, NLL and CRPS of four ways beside the published numbers, and the planned questions
with their tests; all of it in `runs/uci`, two tables a set. A set that is finished is not run again.
"""

import os
import time
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
import typer

import ensemble_vs_dropout as evd
from ensemble_vs_dropout.measures.regression import fit_noise, gaussian_nll
from ensemble_vs_dropout.predictors import fit_together

RATES, FACTORS = (0.005, 0.01, 0.05, 0.1), (0.0, 1e-5, 1e-4, 1e-3)
MEMBERS, UNITS, BATCH = 5, 50, 128
PUBLISHED = {  # tuned MC dropout, Gal's stored files of 2018: RMSE and NLL with standard errors over 20 splits
    "boston": (2.90, 0.18, 2.40, 0.04),
    "concrete": (4.83, 0.17, 2.94, 0.03),
    "energy": (0.54, 0.014, 1.21, 0.01),
    "wine_red": (0.62, 0.01, 0.93, 0.01),
    "yacht": (0.67, 0.05, 1.25, 0.02),
}
METRICS = {"rmse": "RMSE", "gaussian_nll": "NLL", "crps": "CRPS"}
RULES = {"single": ["each"], "ensemble": ["mixture"], "dropout": ["each"], "mc_dropout": ["mixture"]}


class Part:
    """Examples to learn from, scaled by themselves."""

    def __init__(self, x, y):
        self.center, self.spread = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        self.mean, self.deviation = y.mean(), y.std()
        self.fit = {"x": self.features(x), "y": (y - self.mean) / self.deviation}

    def features(self, x):
        """Return features as the networks take them."""
        return ((x - self.center) / self.spread).astype(np.float32)

    def predicted(self, predictor, x):
        """Return what a predictor gives for features, in the unit of the targets."""
        return predictor.predict_members(self.features(x)).unscaled(self.mean, self.deviation)


def splits(examples, number):
    """Yield the published training and test places."""
    state = np.random.RandomState(1)  # the published splits are of this generator
    for _ in range(number):
        order = state.choice(range(examples), examples, replace=False)
        cut = round(0.9 * examples)
        yield order[:cut], order[cut:]


def untrained(features, rate, factor, members, seed):
    """Return networks; those without dropout have a rate of 0."""

    def build():
        penalty = {"kernel_regularizer": keras.regularizers.L2(factor)}
        layers = [
            keras.Input((features,)),
            keras.layers.Dropout(rate),
            keras.layers.Dense(UNITS, activation="relu", **penalty),
            keras.layers.Dropout(rate),
            keras.layers.Dense(1, **penalty),
        ]
        model = keras.Sequential(layers)
        model.compile("adam", "mse")
        return model

    return evd.Ensemble(build, members=members, seed=seed)


def trained(wanted, epochs):
    """Train ensembles, each on its part, and return them: those with dropout in one program, the others in another."""
    for dropout in (True, False):
        group = [(ensemble, part) for ensemble, part in wanted if bool(ensemble.models[0].layers[0].rate) == dropout]
        settings = {"epochs": epochs, "batch_size": BATCH, "strategy": "stacked", "verbose": 0}
        fit_together([ensemble for ensemble, _ in group], data=[part.fit for _, part in group], **settings)
    return [ensemble for ensemble, _ in wanted]


def ways(plain, dropout, passes, seed):
    """Return the predictor of each arm, of networks without dropout and one with it."""
    return {
        "single": plain,
        "ensemble": plain,
        "dropout": dropout,
        "mc_dropout": evd.MonteCarloDropout(dropout.models[0], passes=passes, seed=seed),
    }


def noises(found, y):
    """Return the likeliest noise of each arm on validation data: of networks judged alone, a common one."""
    each = {arm: np.sqrt(np.mean((found[arm].means - y) ** 2)) for arm in ("single", "dropout")}
    return {**each, **{arm: fit_noise(found[arm].means, y) for arm in ("ensemble", "mc_dropout")}}


def run(x, y, epochs, number, passes):
    """Return predictions by arm of all splits, their targets, what was chosen, and the share of test examples."""
    parts, features = [], x.shape[1]
    for learn, test in splits(len(x), number):
        cut = round(0.8 * len(learn))
        parts.append((Part(x[learn[:cut]], y[learn[:cut]]), learn[cut:], Part(x[learn], y[learn]), test))
    candidates = [*((rate, 1e-6) for rate in RATES), *((0.0, factor) for factor in FACTORS)]
    wanted = [
        (untrained(features, *candidate, 1, 1000 * split + place), part)
        for split, (part, *_) in enumerate(parts)
        for place, candidate in enumerate(candidates)
    ]
    tried = iter(trained(wanted, epochs))
    chosen, again = [], []
    for split, (part, val, whole, _) in enumerate(parts):
        losses, networks = [], [next(tried) for _ in candidates]
        for (rate, _), network in zip(candidates, networks, strict=True):
            one = evd.MonteCarloDropout(network.models[0], passes=passes, seed=split) if rate else network
            means = part.predicted(one, x[val]).means
            losses.append(gaussian_nll(means, fit_noise(means, y[val]), y[val]).mean())
        best = int(np.argmin(losses[: len(RATES)])), len(RATES) + int(np.argmin(losses[len(RATES) :]))
        chosen.append((*(candidates[place] for place in best), networks[best[0]]))
        rate, plain = candidates[best[0]], candidates[best[1]]
        again += [
            (untrained(features, *plain, MEMBERS, 2000 * split + 1), part),
            (untrained(features, *plain, MEMBERS, 2000 * split + 1), whole),
            (untrained(features, *rate, 1, 2000 * split + 2), whole),
        ]
    final = iter(trained(again, epochs))
    arms = {arm: [] for arm in RULES}
    for split, (part, val, whole, test) in enumerate(parts):
        on_val, plain, dropout = next(final), next(final), next(final)
        tuned = {arm: part.predicted(one, x[val]) for arm, one in ways(on_val, chosen[split][2], passes, split).items()}
        noise = noises(tuned, y[val])
        for arm, one in ways(plain, dropout, passes, split).items():
            arms[arm].append(whole.predicted(one, x[test]).with_noise(noise[arm]))
    return arms, np.stack([y[test] for *_, test in parts]), chosen, len(parts[0][3]) / len(parts[0][2].fit["x"])


def main(
    data: Annotated[Path, typer.Option(help="Folder of uci_NAME.npz.")],
    sets: Annotated[str, typer.Option(help="Names, with commas between.")] = ",".join(PUBLISHED),
    epochs: Annotated[int, typer.Option(min=1)] = 400,
    number: Annotated[int, typer.Option("--splits", min=3, max=20)] = 20,
    passes: Annotated[int, typer.Option(min=2)] = 500,
    out: Annotated[Path, typer.Option(help="Folder of the tables.")] = Path("runs/uci"),
) -> None:
    """Compare four ways on each set, and put them beside the published numbers."""
    out.mkdir(parents=True, exist_ok=True)
    names = sets.split(",")
    for name in names:
        file = out / f"{name}-{epochs}-{number}.csv"
        if not file.exists():
            start = time.perf_counter()
            arrays = np.load(data / f"uci_{name}.npz", allow_pickle=False)
            arms, truth, chosen, share = run(arrays["x"], arrays["y"], epochs, number, passes)
            evaluator = evd.Evaluator(metrics=list(METRICS), rules=RULES, test_share=share)
            scores, contrasts = evaluator.tables(arms, truth)
            rates, factors = [one[0][0] for one in chosen], [one[1][1] for one in chosen]
            print(f"{name}: {time.perf_counter() - start:.0f} s; rates {rates}, factors {factors}")
            contrasts.assign(dataset=name, epochs=epochs).to_csv(out / f"contrasts-{file.name}", index=False)
            scores.assign(dataset=name, epochs=epochs).to_csv(file, index=False)
        print(told(name, pd.read_csv(file), pd.read_csv(out / f"contrasts-{file.name}")))
    print(markdown(out, names, f"{epochs}-{number}.csv"))


def markdown(out, names, ending):
    """Return two tables of all sets: the scores beside the published ones, and the ensemble less MC dropout."""
    scores = ["| data | metric | single | ensemble | dropout | MC dropout | published |", "|---" * 7 + "|"]
    differences = ["| data | RMSE | NLL | CRPS |", "|---" * 4 + "|"]
    for name in names:
        values = pd.read_csv(out / f"{name}-{ending}").set_index(["metric", "arm"]).value
        for place, (metric, label) in enumerate(METRICS.items()):
            known = " ± ".join(map(str, PUBLISHED.get(name, ())[2 * place : 2 * place + 2]))
            cells = [name, label, *(f"{values[metric, arm]:.3f}" for arm in RULES), known]
            scores += [f"| {' | '.join(cells)} |"]
        contrasts = pd.read_csv(out / f"contrasts-{name}-{ending}")
        pair = contrasts[(contrasts.arm_a == "ensemble") & (contrasts.arm_b == "mc_dropout")].set_index("metric")
        cells = [f"{row.difference:.3f} ({row.low:.3f} to {row.high:.3f})" for row in pair.loc[[*METRICS]].itertuples()]
        shown = pair.better.loc[[*METRICS]] != "neither"
        cells = [f"**{cell}**" if bold else cell for cell, bold in zip(cells, shown, strict=True)]
        differences += [f"| {' | '.join([name, *cells])} |"]
    return "\n".join([*scores, "", *differences]) + "\n"


def told(name, scores, contrasts):
    """Return the scores of a set as text, beside the published ones, and what is shown of the planned questions."""
    wide = scores.pivot(index="arm", columns="metric", values="value").reindex(list(RULES))[[*METRICS]]
    lines = [name, wide.round(3).to_string()]
    if name in PUBLISHED:
        lines += ["published, MC dropout: RMSE {} ± {}, NLL {} ± {}".format(*PUBLISHED[name])]
    for row in contrasts[contrasts.family == "planned"].itertuples():
        shown = {"a": row.arm_a, "b": row.arm_b, "neither": "no difference shown"}[row.better]
        ends = f"{row.difference:.3f} ({row.low:.3f} to {row.high:.3f}), p = {row.p_adjusted:.3f}"
        lines += [f"{row.metric}: {row.arm_a} less {row.arm_b} {ends}: {shown}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
