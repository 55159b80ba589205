"""Draw the picture at each leaf of docs/choose.md.

    make compare
    evd study run scripts/studies/networks.yaml --store runs/networks     # about 15 minutes
    python scripts/choose.py runs/fashion_mnist_10k-mlp-0 runs/networks

What must come out: one PNG for each leaf, of one planned question in three networks, and its numbers on the screen.
"""

from pathlib import Path
from typing import Annotated

import typer

from ensemble_vs_dropout.experiments.gallery import read_sources
from ensemble_vs_dropout.plots import PlannedQuestions

LEAVES = {
    "mc_dropout": ("mc_dropout", "single"),
    "weight_scaling": ("dropout", "single"),
    "ensemble": ("ensemble", "single"),
    "ensemble_or_passes": ("ensemble", "mc_dropout"),
    "wide": ("ensemble", "wide"),
    "dropout_ensemble": ("dropout_ensemble", "ensemble"),
}
NETWORKS = ("256-256", "512-512", "convolutional")


def main(
    run: Annotated[Path, typer.Argument(help="The run of make compare.")],
    store: Annotated[Path, typer.Argument(help="The store of the study networks.")],
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs/choose"),
) -> None:
    """Draw the picture at each leaf of docs/choose.md."""
    found = [one for folder in (run, store) for _, one in read_sources([folder])[0].comparisons()]
    contrasts = {name: one.contrasts for name, one in zip(NETWORKS, found, strict=True)}
    for leaf, question in LEAVES.items():
        display = PlannedQuestions.from_contrasts(contrasts, dataset="Fashion-MNIST", about=[question])
        display.save(out / leaf, ["png"])
        print(leaf)
        print(display.frame()[["comparison", "metric", "value", "low", "high", "p_adjusted"]].round(4).to_string())


if __name__ == "__main__":
    typer.run(main)
