from itertools import pairwise

import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments import make_plan, parse_study, read_study
from ensemble_vs_dropout.experiments.settings import make_settings

TINY = """\
name: tiny
base: {dataset: digits, model: {name: mlp, units: [32]}, members: 3, passes: 5, epochs: 2}
grid: {rate: [0.2, 0.5], train_size: [200, 500]}
repetitions: 2
"""


def settings_of(text):
    return [settings for _, settings in parse_study(text).points()]


def test_every_combination_of_the_grid_is_a_point():
    study = parse_study(TINY)
    assert study.keys == ("rate", "train_size")
    assert [(keys["rate"], keys["train_size"]) for keys, _ in study.points()] == [
        (0.2, 200), (0.2, 500), (0.5, 200), (0.5, 500),
    ]  # fmt: skip
    for settings in settings_of(TINY):
        assert (settings.members, settings.passes, settings.epochs, settings.dataset) == (3, 5, 2, "digits")
        assert settings.model.model_extra == {"units": [32]}


def test_cases_are_varied_together_and_times_the_grid():
    text = (
        "name: c\nbase: {dataset: digits}\ncases:\n- {rate: 0.2, members: 3}\n- {rate: 0.5}\ngrid: {epochs: [1, 2]}\n"
    )
    found = [(s.rate, s.members, s.epochs) for s in settings_of(text)]
    assert found == [(0.2, 3, 1), (0.2, 3, 2), (0.5, 5, 1), (0.5, 5, 2)]
    assert parse_study(text).keys == ("epochs", "rate", "members")


def test_a_key_of_the_model_is_reached_through_a_dot():
    text = "name: m\nbase: {dataset: digits, model: mlp}\ngrid: {model.units: [[8], [16, 16]], model.max_norm: [3]}\n"
    found = [s.model.model_extra for s in settings_of(text)]
    assert found == [{"units": [8], "max_norm": 3}, {"units": [16, 16], "max_norm": 3}]


def test_a_data_set_may_be_what_varies():
    assert [s.dataset for s in settings_of("name: d\ngrid: {dataset: [digits, letter]}\n")] == ["digits", "letter"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: tiny", "nam: tiny", r"line 1: unknown key 'nam'; did you mean 'name'\?|'name' must be given"),
        ("repetitions: 2", "repetition: 2", r"line 4: unknown key 'repetition'; did you mean 'repetitions'\?"),
        ("members: 3", "member: 3", r"line 2: unknown setting 'member'; did you mean 'members'\?"),
        ("members: 3", "members: three", r"line 2: members: .*valid integer.*got 'three'"),
        ("members: 3", "members: true", r"line 2: members: must be a number, got True"),
        ("members: 3", "members: 1000000", r"line 2: members: .*less than or equal to 100000, got 1000000"),
        ("repetitions: 2", "repetitions: 1000000000000", r"line 4: repetitions: .*less than or equal to 1000000000"),
        ("members: 3", "members: 0", r"line 2: members: .*greater than or equal to 1, got 0"),
        ("rate: [0.2, 0.5]", "rate: [0.2, 1.5]", r"line 3: rate: .*less than 1, got 1.5"),
        ("rate: [0.2, 0.5]", "rate: []", r"line 3: grid.rate must list at least one value"),
        ("rate: [0.2, 0.5]", "rate: 0.2", r"line 3: grid.rate: .*list.*got 0.2"),
        ("rate: [0.2", "rat: [0.2", r"line 3: unknown setting 'rat'; did you mean 'rate'\?"),
        ("dataset: digits, ", "", r"base must name a dataset"),
        ("repetitions: 2", "repetitions: -1", r"line 4: repetitions: .*got -1"),
        ("epochs: 2}", "epochs: 2, epochs: 3}", r"line 2: the key 'epochs' stands there twice"),
        ("name: tiny", "name: ../tiny", r"line 1: name: must be letters"),
        ("name: tiny", "name: [tiny", r"this is no YAML"),
        ("epochs: 2}", "rules: [means]}", r"line 2: rules: unknown rule 'means'; did you mean 'mean'\?"),
        ("epochs: 2}", "metrics: [eror]}", r"line 2: metrics: unknown metric 'eror'; did you mean 'error'\?"),
        ("epochs: 2}", "recipes: [plane]}", "line 2: recipes: unknown recipe .plane.; did you mean .plain."),
        ("train_size: [200", "dataset.size: [200", r"line 3: unknown setting 'dataset.size'"),
    ],
)
def test_what_cannot_be_is_named_with_its_line(old, new, told):
    assert old in TINY
    with pytest.raises(InputError, match=told):
        parse_study(TINY.replace(old, new))


@pytest.mark.parametrize("text", ["", "- a\n- b", "just words"])
def test_what_is_no_study_is_refused(text):
    with pytest.raises(InputError, match="a study must be keys and values"):
        parse_study(text)


def test_nothing_in_a_study_file_is_run(tmp_path):
    mark = tmp_path / "ran"
    with pytest.raises(InputError, match="no YAML"):
        parse_study(f"name: !!python/object/apply:pathlib.Path.touch [{mark}]\n")
    assert not mark.exists()


def test_a_file_that_is_not_there_or_is_no_text_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_study(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_study(tmp_path / "bytes.yaml")


def test_references_are_followed():
    cases = "[{model: &m {name: mlp, units: [8]}, rate: 0.1}, {model: *m, rate: 0.2}]"
    text = f"name: b\nbase: {{dataset: digits}}\ncases: {cases}\n"
    assert [s.model.model_extra["units"] for s in settings_of(text)] == [[8], [8]]


def test_references_that_stand_for_billions_or_for_themselves_are_refused_at_once():
    nested = "".join(f"- {{model.units: &{b} [{', '.join([f'*{a}'] * 10)}]}}\n" for a, b in pairwise("abcdefghij"))
    for text in (
        f"name: b\nbase: {{dataset: digits, model: {{units: &a [1, 2]}}}}\ncases:\n{nested}",
        "name: b\nbase: &a {dataset: digits, model: {units: [*a]}}\n",
    ):
        with pytest.raises(InputError, match="must hold at most 100,000 values; write fewer"):
            parse_study(text)


@pytest.mark.parametrize("grid", ["{}", f"{{passes: {[9] * 100}, epochs: {[9] * 100}, batch_size: {[9] * 50}}}"])
def test_more_points_than_can_be_planned_are_refused_before_they_are(grid):
    text = f"name: many\nbase: {{dataset: digits}}\ngrid: {grid}\nrepetitions: 200000\n"
    with pytest.raises(
        InputError, match=r"'many': points times repetitions must be at most 100,000, got [\d,]+; leave"
    ):
        make_plan(parse_study(text))


def test_more_runs_than_can_be_planned_are_refused_while_they_are(monkeypatch):
    study = parse_study("name: many\nbase: {dataset: digits, rate: auto, new_splits: true}\nrepetitions: 3\n")
    monkeypatch.setattr("ensemble_vs_dropout.experiments.plan.MOST_RUNS", 30)
    assert len(make_plan(study).runs) == 30  # ten trials of each split
    monkeypatch.setattr("ensemble_vs_dropout.experiments.plan.MOST_RUNS", 29)
    with pytest.raises(InputError, match="'many' must have at most 29 runs"):
        make_plan(study)


def test_a_tuning_of_more_candidates_than_can_be_tried_is_refused():
    rates = [number / 2000 for number in range(1, 1100)]
    with pytest.raises(InputError, match="dropout must list at most 1,000 candidates, which are 1,099"):
        make_settings(dataset="digits", rate="auto", tuning={"dropout": {"rate": rates}})


def test_the_old_name_of_what_is_trained_is_refused_with_the_new_one():
    with pytest.raises(InputError, match="arms are ways to use networks"):
        parse_study("name: s\nbase: {dataset: digits, arms: [plain]}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "name: a\nbase:\n  dataset: digits\n  model:\n",
            "model must be a name, or a name with its settings.*got None",
        ),
        ("name: a\nbase: {dataset: digits, model: 5}", "model must be a name.*got 5"),
        ("name: a\nbase: {dataset: digits, model: [mlp]}", r"model must be a name.*got \['mlp'\]"),
        ("name: a\nbase: {dataset: digits, model: {units: !!binary /////w==}}", "base.model.units must be text"),
        ("name: a\nbase: {dataset: digits}\ncases: " + "[" * 5000 + "]" * 5000, "too deep within each other"),
        ("name: a\nbase: {dataset: digits, seed: 1" + "0" * 5000 + "}", "a value cannot be read"),
        ('name: a\nbase: {dataset: "\\ud800.npz"}', "base.dataset must be text"),
        ("name: a\nbase: {dataset: 2026-11-26}", "base.dataset must be text"),
        ("name: a\nbase: {dataset: digits, shifts: [[1]]}", "shifts: must be names of shifts.*got \\[\\[1\\]\\]"),
        ("name: a\nbase: {dataset: 2026-13-26}", "a value cannot be read"),
        ("name: a\nbase: {dataset: !!bool x}", "a value cannot be read"),
        ("name: a\nbase: {dataset: !!int ''}", "a value cannot be read"),
        ("name: a\nbase: {dataset: !!timestamp x}", "a value cannot be read"),
    ],
    ids=[
        "nothing",
        "a number",
        "a list",
        "bytes",
        "too deep",
        "a huge number",
        "a surrogate",
        "a date",
        "a list of lists",
        "no date",
        "no truth",
        "no number",
        "no time",
    ],
)
def test_what_no_study_can_hold_is_one_line(text, told):
    with pytest.raises(InputError, match=told):
        parse_study(text)


@pytest.mark.parametrize("name", ["x" * 5000 + ".npz", "~nobody_of_that_name/a.npz"])
def test_a_name_that_is_no_file_is_left_to_who_loads_it(name):
    assert "data_sha256" not in make_plan(parse_study(f"name: a\nbase: {{dataset: {name}}}")).runs[0].spec


def test_settings_of_a_comparison_are_refused_by_the_argument():
    for given, told in (
        ({"members": 0}, "members: .*got 0"),
        ({"shifts": ["rotatio"]}, "unknown shift 'rotatio'"),
        ({"rate": "auto", "tuning": {"dropout": {"rate": [0.2]}}}, "as many candidates as each other"),
        ({"controls": True, "arms": ["single", "ensemble"]}, "controls must be false where arms are named"),
    ):
        with pytest.raises(InputError, match=told):
            make_settings(dataset="digits", **given)


def test_controls_train_the_wide_network_too():
    plan = make_plan(parse_study("name: a\nbase: {dataset: digits, controls: true, members: 3}"))
    runs = {run.spec["recipe"]: run for run in plan.runs}
    assert {name: run.members for name, run in runs.items()} == {"plain": 3, "dropout": 3, "wide": 1}
    without = make_plan(parse_study("name: a\nbase: {dataset: digits, members: 3}"))
    assert {run.name for run in without.runs} < {run.name for run in plan.runs}
