"""Why a run has to be made: what differs from the finished one that is most like it."""

import pytest

from ensemble_vs_dropout.experiments import Store, parse_study, plan_of
from ensemble_vs_dropout.experiments.tables import reasons

TEXT = (
    "{{name: s, base: {{dataset: {data}, recipes: [plain], epochs: {epochs}, model: {model}}}, repetitions: {times}}}"
)


def planned(data="digits", epochs=5, model="{name: mlp, units: [8]}", times=1):
    return plan_of(parse_study(TEXT.format(data=data, epochs=epochs, model=model, times=times)))


def told(before, after, folder):
    store = Store(folder / "store")
    for run in before.runs:
        store.put(run, {"scores.json": b"{}"})
    return [*reasons(after, store).values()]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"epochs": 6}, ["epochs is 6, and was 5"]),
        ({"model": "{name: mlp, units: [9]}"}, ["model.units is [9], and was [8]"]),
        ({"times": 2}, ["repetition is 1, and was 0"]),
        ({}, []),
    ],
)
def test_the_setting_that_changed_is_named(tmp_path, changed, reason):
    assert told(planned(), planned(**changed), tmp_path) == reason


def test_of_several_the_most_alike_is_taken(tmp_path):
    store = Store(tmp_path / "store")
    for plan in (planned(epochs=7, model="{name: mlp, units: [8, 8]}"), planned(epochs=6)):
        store.put(plan.runs[0], {"scores.json": b"{}"})
    assert [*reasons(planned(), store).values()] == ["epochs is 5, and was 6"]


def test_a_file_of_data_that_changed_is_named(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("x,y\n1,2\n")
    before = planned(data=file)
    file.write_text("x,y\n1,3\n")
    assert told(before, planned(data=file), tmp_path) == ["the file of the data has changed"]


def test_where_nothing_like_it_is_finished_that_is_said(tmp_path):
    assert told(
        plan_of(parse_study("{name: s, base: {dataset: digits, recipes: [dropout]}}")), planned(), tmp_path
    ) == ["no run of networks without dropout is finished"]
