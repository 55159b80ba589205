import subprocess
import sys

from ensemble_vs_dropout.datasets import KNOWN, describe_datasets


def test_every_known_set_has_a_row():
    table = describe_datasets()
    assert list(table.columns) == ["name", "train", "test", "shape", "classes", "licence", "source"]
    assert list(table["name"]) == list(KNOWN)
    assert table["licence"].str.len().min() > 3


def test_sources_say_where_each_would_come_from(tmp_path, monkeypatch):
    assert describe_datasets().set_index("name")["source"].to_dict() == {
        "fashion_mnist": "download by keras.datasets",
        "fashion_mnist_10k": "shipped",
        "mnist": "download by keras.datasets",
        "letter": "shipped",
        "satellite": "shipped",
        "magic": "shipped",
        "digits": "scikit-learn",
        "digits_28": "scikit-learn",
    }
    (tmp_path / "mnist.npz").touch()
    monkeypatch.setenv("EVD_DATA", str(tmp_path))
    assert describe_datasets().set_index("name").loc["mnist", "source"] == str(tmp_path / "mnist.npz")


def test_import_and_description_load_nothing_heavy():
    code = (
        "import sys, ensemble_vs_dropout.datasets as d\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "d.describe_datasets()\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
