import numpy as np
import pandas as pd
import pytest

from ensemble_vs_dropout.experiments import notes
from ensemble_vs_dropout.experiments.plan import Run
from ensemble_vs_dropout.types import Predictions


def with_errors(share, examples=500, networks=2):
    """Predictions of so many networks that err on this share of the examples, whose labels are all 0."""
    right = np.arange(examples) >= share * examples
    probs = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    return [Predictions(np.stack([probs] * networks))], np.zeros(examples, int)


def told_unlike(val, test, **options):
    return notes.unlike_test(*with_errors(val, **options), *with_errors(test, **options))


def test_a_validation_part_that_is_unlike_the_test_part_is_told():
    assert told_unlike(0.06, 0.16).startswith(
        "The validation part is easier than the test part by more than chance: 6.0 % errors against 16.0 % (z = 5.1)."
    )
    assert "is harder than the test part by more than chance: 16.0 % errors against 6.0 %" in told_unlike(0.16, 0.06)
    assert told_unlike(0.10, 0.14) == ""  # 1.9 standard errors
    assert told_unlike(0.0, 1.0, examples=1) == ""


def test_more_networks_say_no_more_of_the_examples():
    few, many = (told_unlike(0.06, 0.16, networks=networks) for networks in (1, 20))
    assert few == many


def probe(epochs, patience, losses, recipe="dropout"):
    spec = {"recipe": recipe, "dataset": "digits", "epochs": epochs, "patience": patience}
    return Run(spec), np.array(losses)


@pytest.mark.parametrize(
    ("losses", "gain"),
    [
        ([1.0, 0.8, 0.9, 0.9, 0.4], 50),  # stopped after 4 epochs, 2 without a lower loss
        ([1.0, 0.8, 0.9, 0.6, 0.6, 0.6, 0.3], 50),  # one epoch of patience was left
        ([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25], 50),  # of 6 epochs the last was the best
        ([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25, 0.3, 0.3], 50),  # and what came after is no part of it
        ([1.0, 0.5, 0.6, 0.6, 0.497], 0),
    ],
)
def test_a_probe_is_compared_with_where_training_would_have_ended(losses, gain):
    told = notes.probed(notes.gains([probe(18, 6, losses)]))
    if gain:
        assert f"the validation loss of one network falls by {gain} % (dropout networks)" in told
    else:
        assert "one network of each recipe lowers its validation loss by less than 1 %" in told


def test_without_patience_a_probe_is_compared_with_all_epochs():
    told = notes.probed(notes.gains([probe(9, None, [1.0, 0.9, 0.8, 0.8, 0.4]), probe(9, None, [1.0] * 9, "plain")]))
    assert told.startswith("With 3 times the epochs and the patience, the validation loss")
    assert "50 % (dropout networks): with more" in told


def test_networks_that_were_still_improving_are_counted():
    losses = {0: [3, 2, 1], 1: [1, 2, 3], 2: [2, 1]}
    histories = pd.DataFrame(
        [("plain", 0, member, n + 1, loss) for member, of_one in losses.items() for n, loss in enumerate(of_one)],
        columns=["recipe", "repetition", "member", "epoch", "val_loss"],
    )
    runs = [[Run({"recipe": "plain", "dataset": "digits", "epochs": 3})]]
    assert notes.cut_short(histories, runs, 3).startswith(
        "Still improving at the last of 3 epochs: 1 of 3 networks without dropout;"
    )
    assert notes.cut_short(histories[histories.member > 0], runs, 3) == ""
