import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments import make_plan, parse_study
from ensemble_vs_dropout.experiments.estimates import estimate
from ensemble_vs_dropout.experiments.plan import Run, digest_of_spec, parse_where
from ensemble_vs_dropout.files import digest

BASE = "name: p\nbase: {dataset: digits, members: 3, epochs: 2}\n"


def plan_of(grid, repetitions=1, **options):
    return make_plan(parse_study(f"{BASE}grid: {grid}\nrepetitions: {repetitions}\n"), **options)


def test_plain_networks_do_not_depend_on_the_rate_and_are_trained_once():
    plan = plan_of("{rate: [0.2, 0.5], passes: [10, 20]}", 2)
    arms = [run.spec["recipe"] for run in plan.runs]
    assert len(plan.points) == 8
    assert arms.count("plain") == 2
    assert arms.count("dropout") == 8
    assert len({run.name for run in plan.runs}) == len(plan.runs)


@pytest.mark.parametrize(
    ("grid", "groups"),
    [
        ("{seed: [0, 1, 2], data_seed: [0]}", 2),
        ("{members: [1, 2, 5]}", 2),
        ("{rate: [0.1, 0.2]}", 2),
        ("{model.l2: [0, 0.1], model.learning_rate: [0.1, 0.2], rate: [0.1, 0.2]}", 2),
        ("{epochs: [1, 2]}", 4),
        ("{train_size: [100, 200]}", 2),
        ("{train_size: [100, 200], label_noise: [0, 0.2], data_seed: [0, 1], rate: [0.1, 0.2]}", 2),
        ("{label_noise: [0, 0.2]}", 4),  # of all examples, which may be many
        ("{model.units: [[8], [9]]}", 4),
    ],
)
def test_runs_that_differ_in_seed_members_or_numbers_of_their_networks_alone_are_trained_together(grid, groups):
    assert len(plan_of(grid).groups) == groups


def test_every_run_is_in_one_group_and_groups_are_bounded():
    plan = plan_of("{seed: [0, 1, 2, 3, 4]}", 3, together=10)
    names = [run.name for group in plan.groups for run in group.runs]
    assert sorted(names) == sorted(run.name for run in plan.runs)
    assert max(sum(run.members for run in group.runs) for group in plan.groups) <= 10
    assert all(len(group.runs) == 1 for group in plan_of("{seed: [0, 1]}", together=1).groups)


def test_groups_hold_more_networks_where_they_are_tiny_and_no_more_examples_than_memory_should():
    def sizes(grid, repetitions=70, **options):
        return [sum(run.members for run in group.runs) for group in plan_of(grid, repetitions, **options).groups]

    assert sizes("{train_size: [100]}", 110) == [300, 30] * 2
    assert sizes("{train_size: [100]}", together=120) == [120, 90] * 2
    assert sizes("{train_size: [9000]}") == [132, 78] * 2  # 0.9 of a network each
    assert sizes(f"{{train_size: [9000], data_seed: {list(range(30))}}}", 1) == [66, 24] * 2


def test_the_strategy_of_a_group_is_chosen_by_those_of_one_size():
    (group,) = plan_of("{train_size: [100, 200], seed: [0, 1], recipes: [[plain]]}").groups
    assert group.planned == 6


@pytest.mark.parametrize(
    "value",
    ["2026-13-26", "!!bool x", "!!int ''", "!!timestamp x", "9" * 5000, "[" * 5000, "["],
    ids=["no date", "no truth", "no number", "no time", "a huge number", "too deep", "no end"],
)
def test_a_value_of_where_that_is_none_is_told(value):
    with pytest.raises(InputError, match="where must be KEY=VALUE"):
        parse_where([f"rate={value}"])


def test_a_name_is_a_matter_of_the_spec_alone():
    first, again = (plan_of("{rate: [0.2]}").runs for _ in range(2))
    assert [run.name for run in first] == [run.name for run in again]
    other = plan_of("{rate: [0.2], batch_size: [64]}").runs
    assert not {run.name for run in first} & {run.name for run in other}
    assert digest({"a": [1, {"b": 2, "c": 3}]}) == digest({"a": [1, {"c": 3, "b": 2}]})
    assert digest({"a": 1}) != digest({"a": "1"})


@pytest.mark.parametrize("dataset", ["../../etc/passwd", "a b/c d.csv", "données.npz", "...", "x" * 300, "a\x00b", ""])
def test_a_name_is_a_plain_file_name_whatever_the_data_set(dataset):
    name = Run({"recipe": "plain", "dataset": dataset, "members": 1}).name
    assert "/" not in name
    assert "\x00" not in name
    assert not name.startswith(".")
    assert len(name.encode()) < 200


def test_a_changed_file_of_data_is_another_run(tmp_path):
    file = tmp_path / "mine.csv"
    text = f"name: f\nbase: {{dataset: {file}, target: y}}\n"
    names = []
    for content in ("x,y\n1,a\n", "x,y\n2,a\n", "x,y\n1,a\n"):
        file.write_text(content)
        names.append([run.name for run in make_plan(parse_study(text)).runs])
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize(("module", "file"), [("mine", "mine.py"), ("pack.mine", "pack/mine.py")])
def test_a_changed_builder_is_another_run(tmp_path, monkeypatch, module, file):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pack").mkdir()
    study = parse_study(f"name: b\nbase: {{dataset: digits, model: '{module}:build', recipes: [plain]}}\n")
    names = set()
    for text in ("", "def build(data, rate): ...", "def build(data, rate): ...", "changed = True"):
        if text:
            (tmp_path / file).write_text(text)
        names |= {run.name for run in make_plan(study).runs}
    assert len(names) == 3  # without a file, and with each of two


def test_a_run_has_the_name_that_it_had_when_its_recipe_was_called_its_arm():
    """So that stores of the first format are read on; this name was made by that version."""
    spec = {"arm": "plain", "dataset": "digits", "members": 2, "seed": 3}
    assert digest_of_spec(spec) == digest(spec)
    run = Run({"recipe": "plain", "dataset": "digits", "members": 2, "seed": 3})
    assert run.name == f"digits-plain-{digest(spec)[:16]}"


def test_what_came_later_stands_in_a_run_only_where_it_is_used():
    def spec(extra=""):
        (run,) = make_plan(parse_study(f"{{name: s, base: {{dataset: digits, recipes: [plain]{extra}}}}}")).runs
        return run.spec

    assert not {"drop", "missing", "new_splits"} & set(spec())  # so that finished runs keep their names
    assert spec(", missing: median")["missing"] == "median"
    assert spec(", drop: [id]")["drop"] == ["id"]


def test_an_estimate_counts_the_examples_that_each_run_sees():
    tables = [estimate(plan_of(f"{{train_size: {sizes}}}")) for sizes in ([100], [200], [100, 200])]
    assert [table.examples.tolist() for table in tables] == [[100] * 2, [200] * 2, ["100 to 200"] * 2]
    one, two, both = (table.megabytes for table in tables)
    assert both.tolist() == pytest.approx((one + two).tolist(), abs=0.11)  # each is rounded to 0.1
    assert both.gt(one).all()
