"""The examples run as they stand, and every public name has one in its docstring."""

import doctest
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ensemble_vs_dropout import networks

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_says_something(path, tmp_path):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) >= 3


def test_there_are_the_six():
    assert len(EXAMPLES) == 6


ROOMS = ["", "measures", "datasets", "evaluation", "plots", "predictors", "experiments", "report", "training", "models"]
WITHOUT = {  # public, and why it has no example of its own
    "ClassicDropout.call": "Keras calls it; the example of its class calls the layer",
    "GaussianNLL.call": "Keras calls it; the example of its class calls the loss",
    "GaussianNLL.get_config": "likewise, to save a model",
    "Ensemble.share": "a predictor gives another what it has traced: for who uses many of them in a row",
    "MonteCarloDropout.share": "likewise",
    "WeightScaling.share": "likewise",
    "compose": "takes every table of a comparison; `Comparison.report` makes them",
    **dict.fromkeys(
        [f"Comparison.{name}" for name in ("load", "report", "save", "write_page")],
        "every figure is drawn, for seconds: the README has them",
    ),
    "Comparison.write": "`save` is it, in a folder of its own",
}


def own_functions(module):
    """Return the public functions of a module that lists none."""
    return [f for name, f in vars(module).items() if getattr(f, "__module__", "") == module.__name__ and name[0] != "_"]


def public():
    """Yield every public class and function once, and every public method of a class, by name."""
    seen = set()
    for room in ROOMS:
        module = importlib.import_module(f"ensemble_vs_dropout.{room}".rstrip("."))
        for found in [getattr(module, name) for name in getattr(module, "__all__", ())] + own_functions(networks):
            if not (inspect.isclass(found) or inspect.isfunction(found)) or found in seen:
                continue
            seen.add(found)
            yield found.__name__, found, None
            for name, given in vars(found).items() if inspect.isclass(found) else ():
                method = getattr(given, "__func__", given)
                if inspect.isfunction(method) and not name.startswith("_"):
                    yield f"{found.__name__}.{name}", method, found


def shown(found, owner):
    """Return whether something has an example, or is called in that of its class."""
    own, of_owner = (
        "".join(example.source for example in doctest.DocTestParser().get_examples(inspect.getdoc(one) or ""))
        for one in (found, owner or int)
    )
    return bool(own) or (bool(owner) and f".{found.__name__}(" in of_owner)


def test_every_public_class_function_and_method_has_an_example():
    lacking = {name for name, found, owner in public() if not shown(found, owner)}
    assert lacking - {*WITHOUT} == set()
    assert set(WITHOUT) - lacking == set(), "has an example now"
