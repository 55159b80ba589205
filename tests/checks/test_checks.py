import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError, check_at_least, check_fraction, check_known, load_named, visible


def test_whole_numbers_of_any_kind_come_back_as_int():
    for value in (3, np.int64(3), np.uint8(3)):
        got = check_at_least("members", value, 3)
        assert got == 3
        assert type(got) is int


@pytest.mark.parametrize("value", [2, -1, 3.0, True, "3", None, np.nan, np.int64(2)])
def test_what_is_no_whole_number_or_too_small_is_refused_by_name(value):
    with pytest.raises(InputError, match="members must be a whole number of at least 3, got"):
        check_at_least("members", value, 3)


def test_fractions_come_back_as_float():
    for value in (0, 0.5, np.float32(0.5), 1 - 1e-9):
        got = check_fraction("rate", value)
        assert got == value
        assert type(got) is float


@pytest.mark.parametrize("value", [1, 1.0, -0.1, np.nan, np.inf, True, False, "0.5", None])
def test_what_is_no_fraction_is_refused_by_name(value):
    with pytest.raises(InputError, match=r"rate must be a number in \[0, 1\), got"):
        check_fraction("rate", value)


def test_a_known_name_is_returned():
    assert check_known("rule", "mean", iter(["mean", "median"])) == "mean"


def test_an_unknown_name_is_told_with_the_nearest_and_the_known_ones():
    with pytest.raises(InputError) as error:
        check_known("rule", "medain", {"mean": 1, "median": 2})
    assert str(error.value) == "unknown rule 'medain' (did you mean 'median'?); known: mean, median"


@pytest.mark.parametrize("name", ["zzz", "", 3, None])
def test_without_a_near_name_none_is_proposed(name):
    with pytest.raises(InputError, match="unknown rule") as error:
        check_known("rule", name, ["mean"])
    assert "did you mean" not in str(error.value)


def test_input_errors_are_value_errors():
    assert issubclass(InputError, ValueError)


def test_a_call_by_position_of_what_is_keyword_only_is_told_the_keyword(small, blobs):
    from ensemble_vs_dropout.predictors import Ensemble, MonteCarloDropout

    ensemble, (x, y) = Ensemble(small, members=1), blobs(20)
    with pytest.raises(InputError, match=r"^fit takes x and y by position and all else by keyword; write validation_d"):
        ensemble.fit(x, y, (x, y), 3)
    for predictor in (ensemble, MonteCarloDropout(small(), passes=2)):
        with pytest.raises(InputError, match=r"^predict takes x by position .*; write rule='median'$"):
            predictor.predict(x, "median", 32)


@pytest.mark.parametrize("control", ["\x00", "\x1b", "\x07", "\n", "\r", "\x7f", "\x9b", "\u2028", "\u202e", "\udc80"])
def test_no_control_reaches_a_message(control):
    shown = visible(f"a{control}b")
    assert control not in shown
    assert shown.encode("utf-8").decode("unicode_escape").startswith("a") or shown
    assert shown.startswith("a\\")
    assert str(InputError(f"a{control}b")) == shown


def test_other_text_stays_as_it_is():
    for text in ("Köln", "日本語", "👩‍🔬", "a\\b", "x = -1 %"):
        assert visible(text) == text


@pytest.mark.parametrize("name", ["mynets.py:build", "nets/mynets.py:build", "./nets/mynets:build"])
def test_a_file_in_the_place_of_a_module_is_told_as_the_module(name):
    imported = "mynets" if name.startswith("mynets") else "nets.mynets"
    with pytest.raises(InputError, match=f"as Python imports it, {imported}:build, got the file '{name}'"):
        load_named("model", name)
