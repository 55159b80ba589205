import shlex

import pytest

from ensemble_vs_dropout.report.contents import _command

SPEC = {
    "dataset": "digits", "model": {"name": "mlp"}, "members": 3, "rate": 0.5, "passes": 20, "repetitions": 2,
    "epochs": 5, "patience": None, "batch_size": 64, "seed": 7, "controls": True, "data_sha256": "abc",
    "loaded_as": "digits",
}  # fmt: skip


def options(**changes):
    words = shlex.split(_command({**SPEC, **changes})[0])
    assert words[:2] == ["evd", "compare"]
    following = [word if not word.startswith("--") else "" for word in [*words[3:], ""]]
    return {name: value for name, value in zip(words[2:], following, strict=True) if name.startswith("--")}


def test_the_command_has_every_setting_of_the_run():
    assert options() == {
        "--dataset": "digits", "--model": "mlp", "--members": "3", "--rate": "0.5", "--passes": "20",
        "--repetitions": "2", "--epochs": "5", "--patience": "0", "--batch-size": "64", "--seed": "7", "--controls": "",
        "--no-probe": "",
    }  # fmt: skip
    assert {"--no-controls", "--probe"} <= set(options(controls=False, probe=True))
    assert options(margins={"error": 0.5, "nll": 0.01})["--margin"] == "error=0.5,nll=0.01"
    assert options(patience=3)["--patience"] == "3"
    assert "--arms single,mine:ARM" in _command({**SPEC, "arms": ["single", "mine:ARM"]})[0]


def test_the_command_loads_the_data_as_they_were_loaded():
    asked = {"loaded_as": "/tmp/my data.csv", "target": "the label", "train_size": 50, "label_noise": 0.2}
    found = options(**asked, dataset="my data")
    assert [found[f"--{name}"] for name in ("dataset", "target", "train-size", "label-noise")] == [
        "/tmp/my data.csv", "the label", "50", "0.2",
    ]  # fmt: skip
    assert "by no option: data_seed=3" in _command({**SPEC, "data_seed": 3})[1]
    assert "by no option" not in _command(SPEC)[1]
    assert "given as arrays" in _command({**SPEC, "loaded_as": None})[1]


def test_the_command_says_how_a_table_was_cleaned():
    command, _ = _command({**SPEC, "drop": ["id", "a name"], "missing": "median"})
    assert "--drop 'id,a name' --missing median" in command
    assert "--drop" not in _command(SPEC)[0]


def test_the_command_has_what_was_judged_besides():
    found = options(shifts={"rotation": "severities", "blur": "severities"}, other_data="letter", exact=True)
    assert (found["--shifts"], found["--other-data"], found["--exact"]) == ("rotation,blur", "letter", "")
    assert "by no option: shifts={'blur': [3]}" in _command({**SPEC, "shifts": {"blur": [3]}})[1]


@pytest.mark.parametrize(
    ("model", "note"),
    [
        ({"name": "mlp", "units": [8]}, "mlp was given units=[8] in Python"),
        ({"name": "<mine:make.<locals>.build>"}, "no name to import"),
        ({"name": "mine:build"}, ""),
        ({"name": "mlp"}, ""),
    ],
)
def test_what_the_command_cannot_say_is_told(model, note):
    told = _command({**SPEC, "model": model})[1]
    assert note in told
    assert "sha256 tells: abc" in told
    assert note or ("network" not in told and "mlp" not in told)
