"""Studies on a real Ray cluster of this machine; without Ray they are skipped."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.experiments import Store, make_plan, parse_study, results, run_study
from ensemble_vs_dropout.experiments.ray import run_on_ray

pytestmark = pytest.mark.slow
TEXT = """\
name: small
base: {dataset: digits, train_size: 100, model: {name: mlp, units: [8]}, members: 2, passes: 3, epochs: 2,
  metrics: [nll]}
grid: {rate: [0.2, 0.4, 0.6], seed: [0, 1]}
"""


def plan_of(text=TEXT):
    return make_plan(parse_study(text))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    store, plan = Store(tmp_path_factory.mktemp("local") / "store"), plan_of()
    run_study(plan, store, verbose=0)
    return results(plan, store)


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray", reason="Ray is an optional extra and is not installed")
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.second = made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestOnACluster:
    @pytest.mark.parametrize("transport", ["shared", "return"])
    def test_results_are_those_of_this_process(self, cluster, expected, tmp_path, transport):
        store, plan = Store(tmp_path / "store"), plan_of()
        report = run_on_ray(plan, store, transport=transport, verbose=0)
        assert sorted(report.made) == sorted(run.name for run in plan.runs)
        assert results(plan, store).equals(expected)
        assert run_on_ray(plan, store, transport=transport, verbose=0).made == []

    @pytest.mark.parametrize("harm", ["worker", "node"])
    def test_a_worker_or_a_node_that_dies_costs_no_result(self, cluster, expected, tmp_path, harm):
        import psutil

        store, plan, killed = Store(tmp_path / "store"), plan_of(), []

        def kill():
            while len(killed) == 0:
                time.sleep(0.2)
                busy = [
                    process
                    for process in psutil.process_iter(["cmdline"])
                    if " ".join(process.info["cmdline"] or []).startswith("ray::_make")
                ]
                if busy and harm == "worker":
                    os.kill(busy[0].pid, signal.SIGKILL)
                    killed.append("worker")
                elif busy:
                    cluster.remove_node(cluster.second, allow_graceful=False)
                    killed.append("node")

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        report = run_on_ray(plan, store, verbose=0)
        killer.join(timeout=30)
        if killed == ["node"]:
            cluster.second = cluster.add_node(num_cpus=1)
        assert killed == [harm]
        assert report.failed == {}
        assert results(plan, store).equals(expected)

    @pytest.mark.parametrize("transport", ["shared", "return"])
    def test_the_process_that_asked_may_die_and_ask_again(self, cluster, expected, tmp_path, transport):
        (tmp_path / "study.yaml").write_text(TEXT)
        command = [
            sys.executable, "-m", "ensemble_vs_dropout.commands.main", "study", "run", "study.yaml",
            "--executor", "ray",
            "--address", cluster.address, "--transport", transport, "--quiet",
        ]  # fmt: skip
        said = tmp_path / "said"
        with said.open("w") as out:
            asking = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.STDOUT, stdout=out)
        runs = tmp_path / "store" / "runs"
        deadline = time.monotonic() + 300  # a busy machine takes a minute to import TensorFlow in three processes
        while time.monotonic() < deadline and asking.poll() is None and not any(runs.glob("[!.]*")):
            time.sleep(0.05)  # what begins with a dot is being written
        asking.kill()
        asking.wait()
        store, plan = Store(tmp_path / "store"), plan_of()
        assert 0 < len(store.finished()) < len(plan.runs), said.read_text()
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert results(plan, store).equals(expected)

    def test_a_run_that_fails_is_told_and_the_others_go_on(self, cluster, tmp_path):
        text = TEXT.replace(
            "grid: {rate: [0.2, 0.4, 0.6], seed: [0, 1]}", "grid: {model: [{name: mlp, unit: [3]}, mlp]}"
        )
        for transport in ("shared", "return"):
            store, plan = Store(tmp_path / transport), plan_of(text)
            report = run_on_ray(plan, store, transport=transport, verbose=0)
            assert len(report.made) == len(report.failed) == 2
            assert all("unknown setting of model 'mlp' 'unit'" in reason for reason in report.failed.values())


def test_without_ray_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'ensemble-vs-dropout\[ray\]'"):
        run_on_ray(plan_of(), Store(tmp_path / "store"))
