"""The command line, end to end, as a user calls it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bare import BARE
from called import evd

import ensemble_vs_dropout as evd_package
from ensemble_vs_dropout.commands.main import _insistent_interrupt, main
from ensemble_vs_dropout.experiments.comparison import Comparison
from ensemble_vs_dropout.experiments.folder import is_finished
from ensemble_vs_dropout.measures import STANDARD_METRICS

SMALL = (
    "--dataset digits --train-size 400 --label-noise 0.05 --members 2 --passes 4 --repetitions 1 --epochs 2 --controls"
    " --rate 0.5 --no-probe --class-weight 3=2,5=0.5"
)
SCRIPT = Path(__file__).parents[2] / "scripts" / "compare.py"


def in_a_process_of_its_own(arguments, cwd, **environment):
    command = [sys.executable, "-m", "ensemble_vs_dropout.commands.main", *arguments.split()]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    done = in_a_process_of_its_own(f"compare {SMALL} --out run --json", folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.mark.slow
def test_json_alone_stands_on_standard_output(finished):
    result = json.loads(finished[1].stdout)
    arms = {row["arm"] for row in result["scores"]}
    assert arms == {"single", "ensemble", "dropout", "mc_dropout", "dropout_ensemble", "wide"}
    assert {row["metric"] for row in result["scores"]} == set(STANDARD_METRICS)
    assert {row["arm"] for row in result["worth"]} == arms
    assert {row["axis"] for row in result["equal_cost"]} >= {"parameters", "passes"}
    assert "digits" in finished[1].stderr


@pytest.mark.slow
def test_an_arm_becomes_a_file_that_predicts_new_examples(finished):
    folder, comparison = finished[0], Comparison.load(finished[0] / "run")
    done = evd("export run --arm ensemble --out models/model.keras", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("models/model.keras: ensemble, mean of 2, ")
    assert done.stdout.endswith("\nevd predict models/model.keras new.npz --out predictions.csv\n")
    data = evd_package.load_dataset("digits", train_size=400, label_noise=0.05)
    np.save(folder / "new.npy", data.x_test)
    done = evd("predict models/model.keras new.npy --out new/predictions.csv", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"{len(data.x_test)} rows in new/predictions.csv\n"
    table, members = pd.read_csv(folder / "new" / "predictions.csv"), comparison.arms["ensemble"][0].probs
    expected = evd_package.uncertainty(members)
    np.testing.assert_allclose(table.filter(like="probability_"), members.mean(0), atol=1e-6)
    assert list(table.columns[1:11]) == [f"probability_{name}" for name in data.classes]
    assert table.label.tolist() == [int(data.classes[k]) for k in members.mean(0).argmax(1)]
    for name in ("entropy", "mutual_information"):
        np.testing.assert_allclose(table[name], expected[name], atol=1e-5)
    written = (folder / "new" / "predictions.csv").read_text()
    assert evd("predict models/model.keras new.npy", folder).stdout == written


@pytest.mark.slow
def test_the_run_folder_holds_everything_and_its_manifest_fits(finished):
    run = finished[0] / "run"
    for name in [
        "store.json",
        "comparison.json",
        "environment.json",
        "scores.csv",
        "scores.parquet",
        "contrasts.csv",
        "contrasts.parquet",
        "histories.parquet",
        "worth.csv",
        "equal_cost.csv",
        "diversity.csv",
        "report.html",
        "verdict.txt",
        "table.md",
        "report.md",
        "runs",
        "studies",
    ]:
        assert (run / name).exists(), name
    figures = {path.name for path in (run / "figures").iterdir()}
    assert {
        f"{n}.{s}" for n in ("arm_intervals", "ensemble_size", "learning_curves") for s in ("png", "svg", "pdf")
    } == figures
    assert is_finished(run)
    assert len(list((run / "runs").iterdir())) == 3
    names = {name.partition("/")[0] for name in json.loads((run / "manifest.json").read_text())}
    assert names == {path.name for path in run.iterdir()} - {
        "store.json", "runs", "studies", "locks", "work", "manifest.json", "report.html",
    }  # fmt: skip


@pytest.mark.slow
def test_a_finished_run_is_read_again_and_gives_the_same_numbers(finished):
    again = evd(f"compare {SMALL} --out run --json --quiet", finished[0])
    assert json.loads(again.stdout)["scores"] == json.loads(finished[1].stdout)["scores"]


@pytest.mark.slow
def test_scores_come_anew_from_the_saved_predictions(finished):
    loaded = Comparison.load(finished[0] / "run")
    saved = [row["value"] for row in json.loads(finished[1].stdout)["scores"]]
    np.testing.assert_allclose(loaded.scores.value, [float(value) for value in saved])


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_ends_with_the_same_numbers(finished):
    folder, done = finished
    lost = folder / "half"
    shutil.copytree(folder / "run", lost)
    (lost / "manifest.json").unlink()
    shutil.rmtree(next((lost / "runs").glob("*-dropout-*")))
    again = evd(f"compare {SMALL} --out half --json", folder)
    assert "going on with the unfinished run in half: 2 of 3 parts are finished" in again.stderr
    assert json.loads(again.stdout)["scores"] == json.loads(done.stdout)["scores"]


@pytest.mark.slow
def test_a_changed_byte_is_found_told_and_made_again(finished):
    folder, done = finished
    shutil.copytree(folder / "run", folder / "damaged")
    path = next((folder / "damaged" / "runs").glob("*-plain-*/models.npz"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    again = evd(f"compare {SMALL} --out damaged --json", folder)
    assert "was damaged (models.npz); it lies in" in again.stderr
    assert json.loads(again.stdout)["scores"] == json.loads(done.stdout)["scores"]


@pytest.mark.slow
def test_table_verdict_and_report_are_printed(finished):
    shown = evd(f"compare {SMALL} --out run --quiet", finished[0])
    assert "ensemble, majority vote (2)" in shown.stdout
    assert "The averaged ensemble against MC dropout" in shown.stdout
    assert shown.stdout.splitlines()[0].startswith(("Use ", "No difference", "These networks are too few"))
    assert shown.stdout.splitlines()[-1] == "open run/report.html"
    assert "Traceback" not in shown.stderr


@pytest.mark.slow
def test_the_report_of_a_run_holds_the_command_that_makes_it_again(finished):
    folder, done = finished
    told = evd("report run --quiet", folder)
    assert told.stdout.split() == ["run-report/report.html"], told.stderr
    assert is_finished(folder / "run")
    lines = (folder / "run-report" / "report.md").read_text().splitlines()
    command = next(line.split("evd ")[1] for line in lines if line.startswith("    evd compare"))
    again = evd(f"{command} --out again --json --quiet", folder)
    assert json.loads(again.stdout)["scores"] == json.loads(done.stdout)["scores"]
    assert json.loads(again.stdout)["spec"] == json.loads(done.stdout)["spec"]


@pytest.mark.slow
def test_a_seed_means_the_same_split_networks_and_masks_as_from_python(tmp_path, monkeypatch, capsys):
    arguments = "compare --dataset digits --members 2 --passes 3 --repetitions 1 --epochs 2 --batch-size 512 --seed 1"
    arguments += " --rate 0.5 --no-controls --no-probe"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evd", *arguments.split(), "--json", "--quiet"])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    told = json.loads(capsys.readouterr().out)["scores"]
    settings = BARE | {"members": 2, "passes": 3, "repetitions": 1, "epochs": 2, "batch_size": 512}
    found = evd_package.compare("digits", **settings, seed=1).scores
    assert [[row["arm"], row["rule"], row["metric"]] for row in told] == found[
        ["arm", "rule", "metric"]
    ].values.tolist()
    np.testing.assert_allclose([float(row["value"]) for row in told], found.value.astype(float), rtol=1e-6)


@pytest.mark.slow
def test_another_run_in_the_folder_is_refused(finished):
    refused = evd(f"compare {SMALL} --out run --seed 1", finished[0])
    assert refused.returncode == 2
    assert "holds another comparison (seed differ)" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--dataset digits --members 0", "members must be a whole number of at least 1, got 0"),
        ("--dataset digits --passes 0", "passes must be a whole number of at least 1, got 0"),
        ("--dataset digits --epochs 0", "epochs must be a whole number of at least 1, got 0"),
        ("--dataset digits --batch-size 0", "batch_size must be a whole number of at least 1, got 0"),
        ("--dataset digits --rate 1", "rate must be a number in [0, 1), got 1.0"),
        ("--dataset digits --rate 0", "rate must be above 0, for at 0 there is no dropout"),
        ("--dataset digit", "did you mean 'digits'?"),
        ("--dataset digits --model mpl", "unknown model 'mpl' (did you mean 'mlp'?)"),
        ("--dataset digits --model nowhere:build", "cannot import 'nowhere'"),
        ("--dataset missing.npz", "missing.npz"),
        ("--dataset letter --model lenet", "lenet needs images"),
        ("--dataset digits --rate 0.5 --repetitions 1000000", "repetitions must be at most 100,000, got 1,000,000"),
        ("--dataset digits --out taken", "holds something else (mine.txt)"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("precious")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evd", "compare", "--quiet", *arguments.split()])
    with pytest.raises(SystemExit) as done:
        main()
    told = [line for line in capsys.readouterr().err.splitlines() if line]
    assert done.value.code == 2
    assert len(told) == 1, told
    assert told[0].startswith("evd: ")
    assert message in told[0]
    assert (tmp_path / "taken" / "mine.txt").read_text() == "precious"


class ResourceExhaustedError(Exception):
    """What TensorFlow raises is known by this name."""


@pytest.mark.parametrize("error", [MemoryError(), ResourceExhaustedError("OOM when allocating\ntensor")])
def test_too_little_memory_is_one_line(error, monkeypatch, capsys):
    def failing():
        raise error

    monkeypatch.setattr("ensemble_vs_dropout.commands.main.app", failing)
    with pytest.raises(SystemExit) as done:
        main()
    told = capsys.readouterr().err.splitlines()
    assert (done.value.code, len(told)) == (1, 1)
    assert told[0].startswith("evd: memory is too small for this; ask for fewer or smaller networks")


@pytest.mark.slow
def test_another_keras_backend_is_refused_by_name(tmp_path):
    done = in_a_process_of_its_own("compare --dataset digits", tmp_path, KERAS_BACKEND="jax")
    assert done.returncode == 2
    assert "KERAS_BACKEND" in done.stderr


@pytest.mark.parametrize(
    "command", ["", "compare", "report", "export", "figures", "datasets", "doctor", "study", "study run"]
)
def test_help_is_short_of_nothing(command, tmp_path):
    told = evd(f"{command} -h", tmp_path, COLUMNS="80")
    assert told.returncode == 0
    assert told.stdout == evd(f"{command} --help", tmp_path, COLUMNS="80").stdout
    assert max(map(len, told.stdout.splitlines())) <= 80
    if command in ("compare", "report", "figures", "doctor"):
        assert "xample" in told.stdout
    if not command:
        assert "Exit codes: 0 done" in told.stdout
    if command == "export":
        assert '"ensemble-vs-dropout[deploy]"' in " ".join(told.stdout.split())  # brackets are no markup


def test_the_version_is_printed(tmp_path):
    assert evd("--version", tmp_path).stdout == f"ensemble_vs_dropout {evd_package.__version__}\n"


@pytest.mark.slow
def test_the_doctor_finds_a_sound_machine_and_a_wrong_backend(tmp_path):
    sound = evd("doctor", tmp_path)
    assert sound.returncode == 0, sound.stdout
    assert "ok       strategy stacked: trains" in sound.stdout
    ill = in_a_process_of_its_own("doctor --out /proc/nothing", tmp_path, KERAS_BACKEND="jax")
    assert ill.returncode == 1
    assert "PROBLEM  Keras" in ill.stdout
    assert "unset KERAS_BACKEND" in ill.stdout
    assert "Traceback" not in ill.stderr


@pytest.mark.slow
def test_a_check_that_no_number_names_is_told_before_anything_is_trained(tmp_path):
    told = evd("compare --dataset digits --ignore EVD999", tmp_path)
    assert told.returncode == 2
    assert "EVD999" in told.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_help_and_data_sets_are_listed(tmp_path):
    assert "compare" in evd("--help", tmp_path).stdout
    assert "fashion_mnist_10k" in evd("datasets", tmp_path).stdout


def test_the_script_is_the_same_command():
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert "--repetitions" in done.stdout


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_that_a_destructor_swallows_is_raised_again():
    class Swallowing:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)

    def work():
        Swallowing()
        time.sleep(10)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), _insistent_interrupt():
        work()
    assert time.monotonic() - start < 9
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_interruption_that_comes_out_as_another_error_is_an_interruption():
    def work():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt as error:
            raise RuntimeError("cancelled") from error

    with pytest.raises(KeyboardInterrupt), _insistent_interrupt():
        work()
