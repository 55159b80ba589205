"""Measure the toolkit's speed beside what people write today.

    python scripts/benchmark.py training                      # about 35 minutes on two cores
    python scripts/benchmark.py training --cases small --repeats 1
    python scripts/benchmark.py training --sweep              # the small case for 1 to 100 members; about 40 minutes
    python scripts/benchmark.py inference                     # about 6 minutes
    python scripts/benchmark.py inference --cases memory      # 1,000 passes over 100,000 examples; about 10 minutes
    python scripts/benchmark.py evaluation                    # about 3 minutes
    python scripts/benchmark.py studies                       # about 5 minutes
    python scripts/benchmark.py scaling                       # about 1 minute; needs Ray

`training`: N members under each strategy, beside a loop of Keras' `fit` and, where JAX is installed and asked for
(`--ways fit,auto,jax`), what one would write in it by hand: `vmap` over members, `scan` over batches, Adam.
`inference`: 100 passes beside a loop of `model(x, training=True)`, and ten networks beside ten calls of
`model.predict`. `evaluation`: 2,000 bootstrap draws of 12 arms and 6 metrics, and 200 subsets of 100 members at each of
20 sizes, on 10,000 examples, beside a loop over draws and one over subsets (timed on five of them and scaled up).
`studies`: 200 tiny runs of a grid, trained together in one process and by `evd study run`, and one after the other
(twenty of them, scaled up), what the store adds to a run, and a study of 10,000 finished runs read again. `scaling`:
what a task costs the process that asks for it, measured on a Ray cluster of this machine, and from that a simulation of
studies of 100,000 runs on up to 1,000 nodes: how much of the nodes' time is work.

Every measurement is a whole call, compilation included, in a process of its own; the ways alternate, and medians are
shown. What must come out: the seconds of each way, their ratio to the loop of `fit`, the share of the machine's
measured matrix-product ceiling at that batch, the compile time apart (first epoch less a later one), and peak memory.
A loop of many `fit`s is timed on its first five networks and scaled up, which the table says.
"""

import itertools
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

EPOCHS = 5
FIT_AT_MOST = 5  # networks of the loop that are timed; the rest take as long
# layers: units, dropout rate, convolution filters; batch, images, members
CASES: dict[str, dict[str, Any]] = {
    "small": {"units": [64, 64], "rate": 0.0, "filters": [], "batch": 32, "images": 10_000, "members": 10},
    "small-50": {"units": [64, 64], "rate": 0.0, "filters": [], "batch": 32, "images": 10_000, "members": 50},
    "medium": {"units": [256, 256], "rate": 0.5, "filters": [], "batch": 64, "images": 20_000, "members": 10},
    "large": {"units": [1024, 1024], "rate": 0.5, "filters": [], "batch": 128, "images": 30_000, "members": 3},
    "convolution": {"units": [64], "rate": 0.5, "filters": [16, 32], "batch": 64, "images": 10_000, "members": 5},
    "table": {"units": [64, 64], "rate": 0.0, "filters": [], "batch": 32, "images": 10_000, "members": 100},
}
TABLE = ("table",)  # cases of a table of 16 columns and two classes; the others are of images of ten
for _name, _case in CASES.items():
    _case |= {"shape": [16], "classes": 2} if _name in TABLE else {"shape": [28, 28], "classes": 10}
WAYS = ("fit", "tuned fit", "looped", "unrolled", "stacked", "auto")
PEERS = ("jax",)  # of dense networks
SWEEP = (1, 2, 5, 10, 20, 50, 100)
DATA = Path(__file__).parent.parent / "data" / "fashion_mnist_14k.npz"

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Measure the toolkit's speed."""


@app.command()
def training(
    cases: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(CASES)}.")] = ",".join(CASES),
    ways: Annotated[
        str, typer.Option(help=f"Comma-separated ways to train; {', '.join(PEERS)} where installed.")
    ] = ",".join(WAYS),
    repeats: Annotated[int, typer.Option(min=1, help="Alternating runs of each way.")] = 3,
    sweep: Annotated[bool, typer.Option("--sweep", help="The small case for 1 to 100 members instead.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write every measurement to this JSON file too.")] = None,
) -> None:
    """Time each way of training on each case."""
    chosen = {name: CASES[name] for name in cases.split(",")}
    if sweep:
        chosen = {f"small, {m} members": {**CASES["small"], "members": m} for m in SWEEP}
    everything = {}
    for name, case in chosen.items():
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways.split(",")}
        for repeat in range(repeats):
            for way in list(runs):
                if way in PEERS and case["filters"]:
                    runs.pop(way)
                    continue
                print(f"{name}: {way}, run {repeat + 1} of {repeats}", file=sys.stderr, flush=True)
                runs[way].append(_in_own_process(case, way))
        everything[name] = {"case": case, "ceiling": _in_own_process(case, "ceiling"), "runs": runs}
        _show(name, case, everything[name]["ceiling"]["speed"], runs)
        if out:
            out.write_text(json.dumps(everything, indent=1))


INFERENCE = {
    "convolution": ("loop of model(x, training=True)", "MonteCarloDropout", "MonteCarloDropout, first call"),
    "dense": ("loop of model(x, training=True)", "MonteCarloDropout", "MonteCarloDropout, first call"),
    "ensemble": ("ten model.predict(x)", "Ensemble.predict(x)", "the first of ours", "ten in batches of 1024, as ours"),
    "memory": ("MonteCarloDropout, 1,000 passes over 100,000",),
}


@app.command()
def inference(
    cases: Annotated[
        str, typer.Option(help=f"Comma-separated: {', '.join(INFERENCE)}.")
    ] = "convolution,dense,ensemble",
    repeats: Annotated[int, typer.Option(min=1, help="Alternating runs of each way.")] = 3,
) -> None:
    """Time 100 passes over 4,000 images, and ten networks on 10,000; the loops have batches of 256."""
    for case in cases.split(","):
        done = [_in_own_process({"inference": case}, "inference") for _ in range(1 if case == "memory" else repeats)]
        middle = {way: median(run[way] for run in done) for way in done[0]}
        if case == "memory":
            print(f"memory: {middle['seconds']:.0f} s, {middle['mebibytes']:.0f} MiB above the data at the highest")
            continue
        slow, fast = middle[INFERENCE[case][0]], middle[INFERENCE[case][1]]
        for way, seconds in middle.items():
            print(f"{case}: {way}: {seconds:.2f} s")
        print(f"{case}: {slow / fast:.1f} times as fast")


def _measure_inference(name: str) -> dict[str, float]:
    import numpy as np

    import ensemble_vs_dropout as evd
    from ensemble_vs_dropout.models.backend import keras, tf

    with np.load(DATA) as file:
        x = file["x_train"]

    def seconds(function: Any) -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    if name == "ensemble":
        x = x[:10_000]
        models = [_build(CASES["small"]) for _ in range(10)]
        ensemble = evd.Ensemble.from_models(models)
        together = [seconds(lambda: ensemble.predict(x)) for _ in range(5)]
        plain = [seconds(lambda: [m.predict(x, verbose=0) for m in models]) for _ in range(3)]
        large = [seconds(lambda: [m.predict(x, batch_size=1024, verbose=0) for m in models]) for _ in range(5)]
        middles = (median(plain[1:]), median(together[1:]), together[0], median(large[1:]))
        return dict(zip(INFERENCE[name], middles, strict=True))
    if name == "convolution":
        model = evd.networks.small_cnn(filters=(32, 64), units=128, rate=0.5)(_as_dataset(x))
    else:
        model = evd.networks.mlp(units=(512, 512), rate=0.5)(_as_dataset(x))
    if name == "memory":
        x = np.concatenate([x] * 10)[:100_000]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        took = seconds(lambda: evd.MonteCarloDropout(model, passes=1000).predict(x))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        return {"seconds": took, "mebibytes": peak / 2**10}
    x = x[:4000]
    batches = [tf.constant(x[start : start + 256]) for start in range(0, len(x), 256)]

    def loop() -> None:
        for _ in range(100):
            np.concatenate([keras.ops.softmax(model(batch, training=True)) for batch in batches])

    sampler = evd.MonteCarloDropout(model, passes=100)
    first = seconds(lambda: sampler.predict(x))
    return dict(zip(INFERENCE[name], (seconds(loop), seconds(lambda: sampler.predict(x)), first), strict=True))


@app.command()
def evaluation(repeats: Annotated[int, typer.Option(min=1, help="Alternating runs of each.")] = 3) -> None:
    """Time the bootstrap and the size curves, and tell their memory."""
    for case in ("bootstrap", "sizes"):
        done = [_in_own_process({"evaluation": case}, "evaluation") for _ in range(repeats)]
        middle = {way: median(run[way] for run in done) for way in done[0]}
        print(
            f"{case}: {middle['seconds']:.1f} s, {middle['mebibytes']:.0f} MiB above the predictions at the highest; "
            f"a loop takes {middle['loop']:.0f} s, {middle['loop'] / middle['seconds']:.0f} times as long"
        )


def _measure_evaluation(name: str) -> dict[str, float]:
    import numpy as np

    import ensemble_vs_dropout as evd

    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=10_000)
    members = 12 if name == "bootstrap" else 100
    probs = rng.normal(scale=1.5, size=(members, 10_000, 10)).astype(np.float32)
    probs[:, np.arange(10_000), labels] += 3
    np.exp(probs, out=probs)
    probs /= probs.sum(axis=2, keepdims=True)
    metrics = (
        ["error", "nll", "brier"]
        if name == "sizes"
        else ["error", "nll", "calibrated_nll", "brier", "ece", "spherical"]
    )
    measured = [evd.METRICS[metric].function for metric in metrics]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if name == "bootstrap":
        arms = {f"arm {i}": evd.Predictions(probs[i : i + 1]) for i in range(12)}
        evd.Evaluator(metrics=metrics, rules=["mean"], resamples=2000).tables(arms, labels)
    else:
        sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100]
        evd.size_curves({"pool": evd.Predictions(probs)}, labels, metrics, sizes=sizes, subsets=200)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    start, timed = time.perf_counter(), 5
    for _ in range(timed):
        if name == "bootstrap":
            picks = rng.integers(10_000, size=10_000)
            for member in probs:
                for function in measured:
                    np.mean(function(member[picks], labels[picks]))
        else:
            for size in sizes:
                pooled = evd.aggregate(probs[rng.permutation(100)[:size]], "mean")
                for function in measured:
                    np.mean(function(pooled, labels))
    loop = (time.perf_counter() - start) * (2000 if name == "bootstrap" else 200) / timed
    return {"seconds": seconds, "mebibytes": peak / 2**10, "loop": loop}


TINY = """
name: tiny
base: {dataset: fashion_mnist_10k, train_size: 1000, model: {name: mlp, units: [32]}, members: 3, passes: 5, epochs: 3,
  resamples: 1000}
repetitions: 100
"""
GRID = """
name: grid
base: {dataset: fashion_mnist_10k, train_size: 1000, model: {name: mlp, units: [32]}, members: 3, passes: 5, epochs: 3,
  resamples: 1000, recipes: [dropout]}
grid: {rate: [0.1, 0.2, 0.3, 0.4, 0.5], train_size: [500, 1000], label_noise: [0.0, 0.2]}
repetitions: 10
"""


@app.command()
def studies(repeats: Annotated[int, typer.Option(min=1, help="Alternating runs of each.")] = 1) -> None:
    """Time 200 tiny runs, what the store adds to them, and a study of 10,000 finished runs."""
    anew, apart, together, by_command = [], [], [], []
    for _ in range(repeats):
        one_by_one: dict[str, Any] = {"together": 1, "repetitions": 1}
        anew.append(_in_own_process({**one_by_one, "forgetting": True}, "studies")["seconds"] * 10)
        apart.append(_in_own_process(one_by_one, "studies")["seconds"] * 10)
        found = _in_own_process({"together": None, "repetitions": 10}, "studies")
        together.append(found["seconds"])
        by_command.append(_study_by_command())
    traced, alone, one, two = median(anew), median(apart), median(together), median(by_command)
    print(
        f"200 runs of three 784-32-10 networks with dropout, 500 or 1,000 images, 3 epochs: one after the other "
        f"{traced:.0f} s where each is traced anew, and {alone:.0f} s with what the one before traced; together "
        f"{one:.0f} s in one process, {traced / one:.1f} and {alone / one:.1f} times as fast; `evd study run`, its "
        f"start included, {two:.0f} s, {traced / two:.1f} and {alone / two:.1f} times as fast; planning and the store "
        f"take {found['store'] * 1000:.0f} ms a run"
    )
    read = _in_own_process({}, "finished")
    print(
        f"10,000 finished runs: status {read['status']:.1f} s, results {read['results']:.1f} s, run again "
        f"{read['again']:.1f} s, {read['mebibytes']:.0f} MiB at the highest"
    )


def _study_by_command() -> float:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grid.yaml"
        file.write_text(GRID)
        command = [sys.executable, "-m", "ensemble_vs_dropout.commands.main", "study", "run", str(file), "--quiet"]
        start = time.perf_counter()
        subprocess.run([*command, "--store", str(Path(folder) / "store")], check=True)
        return time.perf_counter() - start


def _measure_studies(case: dict[str, Any]) -> dict[str, float]:
    from unittest.mock import patch

    from ensemble_vs_dropout import experiments as studies
    from ensemble_vs_dropout.experiments import running as training
    from ensemble_vs_dropout.models.programs import forget

    study = studies.parse_study(GRID.replace("repetitions: 10", f"repetitions: {case['repetitions']}"))
    training.data_of(next(iter(studies.make_plan(study).runs)).settings)
    spent = [0.0]

    def timed(function: Any) -> Any:
        def inner(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                spent[0] += time.perf_counter() - start

        return inner

    own = training.make_runs

    def forgetting(*given: Any, **named: Any) -> Any:
        forget()
        return own(*given, **named)

    make = patch.object(training, "make_runs", forgetting if case.get("forgetting") else own)
    with tempfile.TemporaryDirectory() as folder, make, patch.object(studies.Store, "put", timed(studies.Store.put)):
        start = time.perf_counter()
        plan = timed(studies.make_plan)(study, case["together"])
        report = studies.run_study(plan, studies.Store(folder), verbose=0)
        seconds = time.perf_counter() - start
    assert len(report.made) == len(plan.runs), report.failed
    return {"seconds": seconds, "runs": len(plan.runs), "store": spent[0] / len(plan.runs)}


def _measure_finished() -> dict[str, float]:
    from ensemble_vs_dropout import experiments as studies

    with tempfile.TemporaryDirectory() as folder:
        store = studies.Store(folder)
        study = studies.parse_study(TINY.replace("repetitions: 100", "repetitions: 1"))
        plan = studies.make_plan(study)
        studies.run_study(plan, store, verbose=0)
        files = {
            run.spec["recipe"]: {
                path.name: path.read_bytes()
                for path in (store.folder / "runs" / run.name).iterdir()
                if path.name not in ("manifest.json", "spec.json")
            }
            for run in plan.runs
        }
        plan = studies.make_plan(studies.parse_study(TINY.replace("repetitions: 100", "repetitions: 5000")))
        for run in plan.runs:
            store.put(run, files[run.spec["recipe"]])
        return _in_own_process({"folder": folder}, "read")


def _measure_reading(folder: str) -> dict[str, float]:
    from ensemble_vs_dropout import experiments as studies

    def seconds(function: Any) -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    store = studies.Store(folder)
    plan = studies.make_plan(studies.parse_study(TINY.replace("repetitions: 100", "repetitions: 5000")))
    result = {
        "status": seconds(lambda: studies.status(plan, store)),
        "results": seconds(lambda: studies.results(plan, store)),
        "again": seconds(lambda: studies.run_study(plan, store, verbose=0)),
    }
    return result | {"mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


@app.command()
def scaling(
    cpus: Annotated[int, typer.Option(help="Cores that each group of runs is promised, of 8 a node.")] = 4,
) -> None:
    """Measure what a task costs, and simulate studies of 100,000 runs on 1 to 1,000 nodes."""
    measured = _in_own_process({}, "tasks")
    print(
        "measured: {ask:.1f} ms to hand out a task, {take:.1f} ms to hear that it is done, {fetch:.1f} ms to fetch a "
        "megabyte, {put:.1f} ms to store a run".format(**{name: cost * 1000 for name, cost in measured.items()})
    )
    rows = []
    for seconds, size in ((0.4, 0.1), (5.0, 1.0), (300.0, 20.0)):  # of one run, and megabytes
        for transport in ("shared", "return"):
            for runs in (1, 40):  # of one group
                row = {"a run": f"{seconds:g} s, {size:g} MB", "transport": transport, "runs of a group": runs}
                for nodes in (1, 10, 100, 1000):
                    row[f"{nodes:,} nodes" if nodes > 1 else "1 node"] = _simulated(
                        nodes * (8 // cpus), 100_000, runs, seconds, size, transport == "return", measured
                    )
                rows.append(row)
    import pandas as pd

    print(pd.DataFrame(rows).to_markdown(index=False))


def _simulated(
    slots: int, runs: int, together: int, seconds: float, megabytes: float, sent: bool, costs: dict[str, float]
) -> str:
    """Return the share of the slots' time that is work, of one study, and what holds it back where that is little.

    One process hands out every task, and hears of each one's end in turn; a group takes from 0.8 to 1.2 times its mean.
    """
    import heapq

    import numpy as np

    groups = -(-runs // together)
    lengths = np.random.default_rng(0).uniform(0.8, 1.2, groups) * together * seconds
    store, hearing = together * costs["put"], costs["take"] + sent * together * megabytes * costs["fetch"]
    free, asked, ends = [0.0] * slots, 0.0, []
    for length in lengths:
        asked += costs["ask"]
        ends.append(max(asked, heapq.heappop(free)) + length)
        heapq.heappush(free, ends[-1])
    stored = heard = 0.0
    for end in sorted(ends):  # one disk takes the runs one after the other, and one process hears of them
        stored = max(stored, end) + store
        heard = max(heard, stored) + hearing
    share = runs * seconds / slots / heard
    if share > 0.9:
        return f"{share:.0%}"
    limits = {
        "scheduler": groups * costs["ask"],
        "store": groups * store,
        "driver": groups * (hearing + sent * store),
        "too few groups": float(np.ceil(groups / slots) * lengths.mean()),
    }
    return f"{share:.0%} ({max(limits, key=lambda name: limits[name])})"


def _measure_tasks() -> dict[str, float]:
    """Measure what the process that asks pays for each task, as `studies.on_ray` asks and waits."""
    import tempfile

    import numpy as np
    import ray

    from ensemble_vs_dropout.experiments import Run, Store

    ray.init(num_cpus=2, log_to_driver=False, logging_level="error", configure_logging=False)
    task = ray.remote(max_retries=5)(lambda size: bytes(size))
    ray.get([task.remote(0) for _ in range(10)])
    flying = []
    start = time.perf_counter()
    for _ in range(2000):
        flying.append(task.remote(0))
    ask = (time.perf_counter() - start) / len(flying)
    ray.wait(flying, num_returns=len(flying))
    start, tasks = time.perf_counter(), len(flying)
    while flying:
        (ready, *_), flying = ray.wait(flying, num_returns=1)
        ray.get(ready)
    take = (time.perf_counter() - start) / tasks
    large = [task.remote(100 * 2**20) for _ in range(5)]
    ray.wait(large, num_returns=len(large))
    start = time.perf_counter()
    fetched = sum(len(ray.get(one)) for one in large)
    fetch = (time.perf_counter() - start) / (fetched / 2**20)
    ray.shutdown()
    weights = np.random.default_rng(0).bytes(100_000)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        start = time.perf_counter()
        for seed in range(100):
            store.put(Run({"recipe": "plain", "dataset": "digits", "seed": seed}), {"models.npz": weights})
        put = (time.perf_counter() - start) / 100
    return {"ask": ask, "take": take, "fetch": fetch, "put": put}


def _as_dataset(x: Any) -> Any:
    import numpy as np

    import ensemble_vs_dropout as evd

    labels = np.arange(len(x)) % 10
    return evd.Dataset("images", x, labels, x[:20], labels[:20], x[:20], labels[:20], tuple("0123456789"))


def _in_own_process(case: dict[str, Any], way: str) -> dict[str, float]:
    command = [sys.executable, __file__, "one", json.dumps(case), way]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way} failed on {case}:\n{done.stderr[-3000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


@app.command(hidden=True)
def one(case: str, way: str) -> None:
    """Measure one way on one case in this process."""
    given = json.loads(case)
    if way in ("studies", "finished", "read", "tasks"):
        ways = {
            "tasks": _measure_tasks,
            "studies": lambda: _measure_studies(given),
            "finished": _measure_finished,
            "read": lambda: _measure_reading(given["folder"]),
        }
        print(json.dumps(ways[way]()))
        return
    if way in ("inference", "evaluation"):
        measure = _measure_inference if way == "inference" else _measure_evaluation
        print(json.dumps(measure(given[way])))
        return
    measured = {"ceiling": _ceiling, "jax": _measure_jax}
    print(json.dumps(measured[way](given) if way in measured else _measure(given, way)))


def _measure(case: dict[str, Any], way: str) -> dict[str, float]:
    import numpy as np

    import ensemble_vs_dropout as evd
    from ensemble_vs_dropout.models.backend import keras

    keras.layers.Dense(1)(np.zeros((1, 1)))  # what a process does once is nobody's cost
    x, y = _examples(case)
    start = time.perf_counter()
    if way in ("fit", "tuned fit"):
        timed = min(case["members"], FIT_AT_MOST)
        settings = {"jit_compile": True, "steps_per_execution": 32} if way == "tuned fit" else {}
        for _ in range(timed):
            _build(case, **settings).fit(x, y, epochs=EPOCHS, batch_size=case["batch"], verbose=0)
        seconds = (time.perf_counter() - start) / timed * case["members"]
        epochs = [0.0]
    else:
        ensemble = evd.Ensemble(lambda: _build(case), members=case["members"])
        settings = {"epochs": EPOCHS, "batch_size": case["batch"], "strategy": way, "verbose": 0}
        histories = ensemble.fit(x, y, **settings)
        seconds = time.perf_counter() - start
        epochs = histories.groupby("epoch").seconds.sum().tolist()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    compiling = epochs[0] - median(epochs[1:]) if len(epochs) > 1 else float("nan")
    return {"seconds": seconds, "compiling": compiling, "epoch": median(epochs[1:] or epochs), "peak": peak}


def _measure_jax(case: dict[str, Any]) -> dict[str, float]:
    """Train the dense networks of a case as one writes it in JAX by hand, with the quicker of its generators."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_default_prng_impl", "unsafe_rbg")
    jnp.zeros(1).block_until_ready()
    x, y = _examples(case)
    start = time.perf_counter()
    images, labels = jnp.asarray(x).reshape(len(x), -1), jnp.asarray(y, jnp.int32)
    sizes, batch, rate = [math.prod(case["shape"]), *case["units"], case["classes"]], case["batch"], case["rate"]

    def untrained(key: Any) -> Any:
        keys = jax.random.split(key, len(sizes) - 1)
        glorot = jax.nn.initializers.glorot_uniform()
        layers = zip(keys, itertools.pairwise(sizes), strict=True)
        return [(glorot(key, shape), jnp.zeros(shape[1])) for key, shape in layers]

    def loss(parameters: Any, places: Any, key: Any) -> Any:
        h = images[places].astype(jnp.float32) / (255 if len(case["shape"]) > 1 else 1)
        for number, (w, b) in enumerate(parameters):
            h = h @ w + b
            if number < len(parameters) - 1:
                h = jax.nn.relu(h)
                if rate:
                    kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - rate, h.shape)
                    h = jnp.where(kept, h / (1 - rate), 0.0)
        logs = jax.nn.log_softmax(h)
        return -jnp.take_along_axis(logs, labels[places][:, None], axis=1).mean()

    def step(state: Any, places: Any) -> Any:
        parameters, first, second, time_step, key = state
        value, gradients = jax.value_and_grad(loss)(parameters, places, jax.random.fold_in(key, time_step))
        time_step = time_step + 1
        first = jax.tree.map(lambda m, g: m + (g - m) * 0.1, first, gradients)
        second = jax.tree.map(lambda v, g: v + (g * g - v) * 0.001, second, gradients)
        rate_now = 1e-3 * jnp.sqrt(1 - 0.999**time_step) / (1 - 0.9**time_step)
        moved = jax.tree.map(lambda p, m, v: p - rate_now * m / (jnp.sqrt(v) + 1e-7), parameters, first, second)
        return (moved, first, second, time_step, key), value

    def of_member(state: Any, order: Any) -> Any:
        full = len(order) // batch
        state, losses = jax.lax.scan(step, state, order[: full * batch].reshape(full, batch))
        return step(state, order[full * batch :]) if len(order) % batch else (state, losses[-1])

    train_epoch = jax.jit(jax.vmap(of_member), donate_argnums=0)
    keys = jax.random.split(jax.random.key(0), case["members"])
    parameters = jax.vmap(untrained)(keys)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = (parameters, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(case["members"], jnp.int32), keys)
    rng, epochs = np.random.default_rng(0), []
    for _ in range(EPOCHS):
        begun = time.perf_counter()
        orders = np.stack([rng.permutation(len(x)) for _ in range(case["members"])]).astype(np.int32)
        state, found = train_epoch(state, jnp.asarray(orders))
        found.block_until_ready()
        epochs.append(time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert np.isfinite(np.asarray(found)).all()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "compiling": epochs[0] - median(epochs[1:]), "epoch": median(epochs[1:]), "peak": peak}


def _examples(case: dict[str, Any]) -> tuple[Any, Any]:
    import numpy as np

    if len(case["shape"]) == 1:
        from ensemble_vs_dropout import load_dataset

        data = load_dataset("letter")
        return data.x_train[: case["images"]], data.y_train[: case["images"]] % case["classes"]
    with np.load(DATA) as file:
        x, y = (np.concatenate([file[name]] * 3)[: case["images"]] for name in ("x_train", "y_train"))
    return x, y


def _build(case: dict[str, Any], **compiled: Any) -> Any:
    from ensemble_vs_dropout.models.backend import keras

    layers = [keras.Input(case["shape"])]
    if len(case["shape"]) > 1:
        layers = [keras.Input(case["shape"], dtype="uint8"), keras.layers.Rescaling(1 / 255)]
    if case["filters"]:
        layers.append(keras.layers.Reshape((28, 28, 1)))
    for number in case["filters"]:
        layers.append(keras.layers.Conv2D(number, 3, padding="same", activation="relu"))
        layers.append(keras.layers.MaxPooling2D())
    layers.append(keras.layers.Flatten())
    for units in case["units"]:
        layers.append(keras.layers.Dense(units, activation="relu"))
        if case["rate"]:
            layers.append(keras.layers.Dropout(case["rate"]))
    model = keras.Sequential([*layers, keras.layers.Dense(case["classes"])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], **compiled)
    return model


def _operations(case: dict[str, Any]) -> float:
    """Return the operations of an example's forward and backward pass; the first layer needs no input gradient."""
    products, places, channels = [], math.prod(case["shape"]), 1
    for number in case["filters"]:
        products.append(places * 9 * channels * number)
        places, channels = places // 4, number
    sizes = [places * channels, *case["units"], case["classes"]]
    products += [a * b for a, b in itertools.pairwise(sizes)]
    return 2.0 * (3 * sum(products) - products[0])


def _ceiling(case: dict[str, Any]) -> dict[str, float]:
    """Return the operations a second of the largest layer's products at this batch: forward and both gradients."""
    import tensorflow as tf

    sizes = [math.prod(case["shape"]), *case["units"]]
    a, b = max(itertools.pairwise(sizes), key=lambda pair: pair[0] * pair[1])
    x, w = tf.random.normal((case["batch"], a)), tf.random.normal((a, b))

    @tf.function(jit_compile=True)
    def products(x: Any, w: Any) -> Any:
        def step(number: Any, w: Any) -> Any:
            h = tf.matmul(x, w)
            return number + 1, w - 1e-9 * tf.matmul(x, h, transpose_a=True)

        return tf.while_loop(lambda number, _: number < 200, step, (0, w))[1]

    times = []
    for _ in range(6):
        start = time.perf_counter()
        products(x, w).numpy()
        times.append(time.perf_counter() - start)
    return {"speed": 200 * 4 * case["batch"] * a * b / median(times[1:])}


def _show(name: str, case: dict[str, Any], ceiling: float, runs: dict[str, list[dict[str, float]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    scaled = case["members"] > FIT_AT_MOST
    note = f"; loops of fit: {FIT_AT_MOST} networks timed, scaled to {case['members']}" if scaled else ""
    title = (
        f"{name}: {case['members']} members, {EPOCHS} epochs, batch {case['batch']}, {case['images']:,} images{note}"
    )
    columns = ("way", "seconds", "runs", "times fit", "GFLOP/s", "of the ceiling", "compiling", "an epoch", "peak MiB")
    table = Table(*columns, title=title, title_justify="left")
    middle = {way: {key: median(run[key] for run in each) for key in each[0]} for way, each in runs.items()}
    work = _operations(case) * case["images"] * case["members"]
    for way, found in middle.items():
        own = "fit" not in way
        speed = work / found["epoch"] if own else work * EPOCHS / found["seconds"]
        low, high = (choose(run["seconds"] for run in runs[way]) for choose in (min, max))
        table.add_row(
            way,
            f"{found['seconds']:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{middle['fit']['seconds'] / found['seconds']:.2f}" if "fit" in middle else "",
            f"{speed / 1e9:.0f}",
            f"{speed / ceiling:.0%}",
            f"{found['compiling']:.1f}" if own else "",
            f"{found['epoch']:.2f}" if own else "",
            f"{found['peak'] / 2**20:.0f}",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    app()
