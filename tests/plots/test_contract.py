"""What every display keeps; a new one joins by a line in the `BUILDERS` of a file `made_*.py`."""

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.plots import ArmIntervals
from ensemble_vs_dropout.plots.display import WIDTHS
from ensemble_vs_dropout.plots.style import SCALES


def panels(display):
    return len({panel for row in display._mosaic() for panel in row} - {display.EMPTY})


def test_plot_makes_a_figure_of_its_own_and_leaves_pyplot_and_rc_alone(display):
    before, open_figures = dict(matplotlib.rcParams), plt.get_fignums()
    axes = display.plot()
    assert len(axes) == panels(display)
    assert axes[0].figure.get_figwidth() == WIDTHS["double"]
    assert not display.frame().empty
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == open_figures


def test_frame_is_a_copy(display):
    frame = display.frame()
    frame["value"] = None
    assert display.frame()["value"].notna().any()


def test_users_axes_keep_their_labels_and_legend(display):
    figure = Figure(layout="constrained")
    axes = figure.subplots(1, panels(display), squeeze=False)
    for ax in axes.flat:
        ax.set(xlabel="my x", ylabel="my y", title="my title")
        ax.plot([1], [1], label="mine")
    legend = axes.flat[-1].legend()
    drawn = display.plot(axes)
    assert list(drawn) == list(axes.flat)
    assert {(ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) for ax in drawn} == {("my x", "my y", "my title")}
    assert drawn[-1].get_legend() is legend


def test_pyplot_axes_tell_the_data_and_the_interval(display):
    figure, axes = plt.subplots(1, panels(display), squeeze=False, figsize=(16, 4), layout="constrained")
    display.plot(list(axes.flat))
    title = axes.flat[0].get_title().replace("\n", " ").replace("\u00a0", " ")
    assert "fashion_mnist" in title
    assert display.interval in title
    figure.canvas.draw()
    plt.close(figure)


@pytest.mark.parametrize("wrong", [0, 99])
def test_a_wrong_number_of_axes_is_refused(display, wrong):
    with pytest.raises(InputError, match=rf"ax must be {panels(display)} axes.*got {wrong}"):
        display.plot([Figure().subplots()] * wrong)


def test_other_things_than_axes_are_refused(display):
    with pytest.raises(InputError, match=r"Axes.*got str"):
        display.plot("axes")


@pytest.mark.slow
def test_saved_files_are_the_same_bytes_twice_whatever_the_users_style(display, tmp_path):
    few = isinstance(display, ArmIntervals)  # one display for all formats, one format for all displays
    formats = ("png", "svg", "pdf") if few else ("svg",)
    first = display.save(tmp_path / "a" / "figure.v1", formats)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        second = display.save(tmp_path / "b" / "figure.v1", formats)
    assert [path.name for path in first] == [f"figure.v1.{name}" for name in formats]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert b"/CreationDate" not in one.read_bytes()
    svg = (tmp_path / "a" / "figure.v1.svg").read_text()
    assert "fashion_mnist</text>" in svg
    assert "<dc:date>" not in svg


def test_an_unknown_format_is_refused(display, tmp_path):
    with pytest.raises(InputError, match="unknown format 'jpeg'"):
        display.save(tmp_path / "figure", formats=["jpeg"])


@pytest.mark.slow
@pytest.mark.parametrize(("width", "style"), [("double", "paper"), ("single", "talk")])
def test_nothing_leaves_the_figure_or_overlaps(display, width, style):
    figure = display.plot(width=width, style=style)[0].figure
    assert figure.get_figwidth() == WIDTHS[width] * SCALES[style]
    figure.canvas.draw()
    boxes = [*figure.texts, *figure.legends]
    extents = [box.get_window_extent() for box in boxes]
    extents.append(figure.get_tightbbox().transformed(figure.dpi_scale_trans))
    for extent in extents:
        assert extent.x0 >= -1
        assert extent.y0 >= -1
        assert extent.x1 <= figure.bbox.x1 + 1
        assert extent.y1 <= figure.bbox.y1 + 1
    for ax in figure.axes:
        assert not any(ax.get_tightbbox().overlaps(box.get_window_extent()) for box in boxes)
    assert not any(
        a.get_tightbbox().overlaps(b.get_tightbbox()) for a, b in zip(figure.axes, figure.axes[1:], strict=False)
    )


def test_facts_are_told_in_words_and_numbers(display):
    for fact in display.facts:
        assert fact.statement
        assert fact.outcome in ("held", "did not hold", "cannot be judged")
        assert bool(fact.reason) == (fact.held is None)
        assert any(letter.isdigit() for letter in fact.numbers)


def test_an_unknown_width_or_style_is_refused(display):
    with pytest.raises(InputError, match="unknown width 'wide'"):
        display.plot(width="wide")
    with pytest.raises(InputError, match="unknown style 'poster'"):
        display.plot(style="poster")


def test_the_caption_names_data_and_interval(display):
    assert "fashion_mnist" in display.title
    assert "fashion_mnist" in display.caption
    assert all(word in display.caption for word in display.interval.partition(": ")[2].split())


def test_importing_plots_loads_no_tensorflow():
    code = "import sys, ensemble_vs_dropout.plots; print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
