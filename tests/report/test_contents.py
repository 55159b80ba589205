import shlex

import pytest

from ensemble_vs_dropout.report.contents import _command

SPEC = {
    "dataset": "digits", "model": {"name": "mlp"}, "members": 3, "rate": 0.5, "passes": 20, "repetitions": 2,
    "epochs": 5, "patience": None, "batch_size": 64, "seed": 7, "controls": True, "data_sha256": "abc",
}  # fmt: skip


def options(**changes):
    source = changes.pop("source", "scikit-learn: load_digits")
    words = shlex.split(_command({**SPEC, **changes}, {"source": source})[0])
    assert words[:2] == ["evd", "compare"]
    return {name: value for name, value in zip(words[2:], [*words[3:], ""], strict=True) if name.startswith("--")}


def test_the_command_has_every_setting_of_the_run():
    assert options() == {
        "--dataset": "digits", "--model": "mlp", "--members": "3", "--rate": "0.5", "--passes": "20",
        "--repetitions": "2", "--epochs": "5", "--patience": "0", "--batch-size": "64", "--seed": "7", "--controls": "",
    }  # fmt: skip
    assert "--controls" not in options(controls=False)
    assert options(patience=3)["--patience"] == "3"


def test_a_file_is_named_by_its_path_and_a_known_set_by_its_name():
    assert options(dataset="my data", source="/tmp/my data.csv")["--dataset"] == "/tmp/my data.csv"
    assert options(dataset="letter", source="shipped: /somewhere/letter.npz")["--dataset"] == "letter"


@pytest.mark.parametrize(
    ("model", "note"),
    [("mlp", "those that are not its defaults"), ("mine:make.<locals>.build", "no name to import"), ("mine:build", "")],
)
def test_what_the_command_cannot_say_is_told(model, note):
    told = _command({**SPEC, "model": {"name": model}}, {})[1]
    assert note in told
    assert "sha256 tells: abc" in told
    assert note or "network" not in told
