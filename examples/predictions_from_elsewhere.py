"""Compare predictions that come from elsewhere, PyTorch or scikit-learn: only probabilities and labels are needed.

python examples/predictions_from_elsewhere.py        # 10 seconds on two cores
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

import ensemble_vs_dropout as evd

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=0.4, random_state=0)


def predictions(models: list) -> evd.Predictions:
    """Return the probabilities of fitted models, shape (members, examples, classes)."""
    fitted = [model.fit(x_train, y_train) for model in models]
    return evd.Predictions(np.stack([model.predict_proba(x_test) for model in fitted]))


arms = {
    "networks": predictions([MLPClassifier((32,), max_iter=400, random_state=k) for k in range(5)]),
    "trees": predictions(
        [DecisionTreeClassifier(min_samples_leaf=5, splitter="random", random_state=k) for k in range(5)]
    ),
}
evaluator = evd.Evaluator(metrics=["error", "brier"], rules=["mean"])
print(evaluator.scores(arms, y_test)[["arm", "rule", "metric", "value", "low", "high"]].round(4).to_string(index=False))
print(evaluator.contrasts(arms, y_test)[["arm_a", "arm_b", "metric", "difference", "p_adjusted", "better"]].round(4))
