import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import rotate
from scipy.stats import norm

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import OVADIA, SHIFTS, load_dataset, shift

few = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
RANDOM = ("gaussian_noise", "shot_noise", "occlusion", "feature_dropout")
IMAGES = tuple(name for name, one in SHIFTS.items() if one.kind != "tables")
TABLES = tuple(name for name, one in SHIFTS.items() if one.kind != "images")
PAIRS = [(name, kind) for name, one in SHIFTS.items() for kind in ("images", "tables") if one.kind in (kind, "any")]
DTYPES = ("uint8", "float16", "float32", "float64")


def images(seed=0, shape=(6, 14, 14), dtype="float32"):
    """Random pixels in the whole range: 0..255 or [0, 1]."""
    drawn = np.random.default_rng(seed).integers(0, 256, shape)
    return drawn.astype(np.uint8) if dtype == "uint8" else (drawn / 255).astype(dtype)


def table(seed=0, shape=(60, 5), dtype="float32"):
    if dtype == "uint8":
        return images(seed, shape, dtype)
    drawn = np.random.default_rng(seed).normal(size=shape)
    return (drawn * np.arange(1, shape[1] + 1) + 3).astype(dtype)


def data(kind, seed=0, dtype="float32"):
    return images(seed, dtype=dtype) if kind == "images" else table(seed, dtype=dtype)


def distance(x, y):
    return np.abs(x.astype(float) - y).mean()


@pytest.mark.parametrize(("name", "kind"), PAIRS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_severity_0_and_amount_0_are_the_data_themselves(name, kind, dtype):
    x = data(kind, dtype=dtype)
    for same in (shift(x, name, 0), shift(x, name, amount=0)):
        np.testing.assert_array_equal(same, x)
        assert same.dtype == x.dtype
        assert not np.shares_memory(same, x)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_shape_dtype_and_range_stay_and_the_data_given_are_left_alone(name, kind, dtype):
    x = data(kind, dtype=dtype)
    before = x.copy()
    for severity in range(1, 6):
        moved = shift(x, name, severity)
        assert (moved.shape, moved.dtype) == (x.shape, x.dtype)
        assert not np.array_equal(moved, x)
        if kind == "images":
            assert moved.min() >= 0
            assert moved.max() <= (255 if dtype == "uint8" else 1)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("shape", [(3, 9, 16), (3, 16, 9), (3, 12, 12, 1), (3, 9, 12, 3)])
def test_images_need_not_be_square_or_grey(name, shape):
    x = images(shape=shape, dtype="uint8")
    moved = shift(x, name, 3, seed=1)
    assert moved.shape == shape
    if shape[-1] == 1:
        np.testing.assert_array_equal(moved[..., 0], shift(x[..., 0], name, 3, seed=1))


@pytest.mark.parametrize("name", ["rotation", "translation", "padded_translation", "blur", "contrast", "occlusion"])
def test_channels_are_moved_alike_and_apart(name):
    x = images(shape=(3, 9, 12, 3), dtype="uint8")
    moved = shift(x, name, 4)
    for channel in range(3):
        np.testing.assert_array_equal(moved[..., channel], shift(x[..., channel], name, 4))


def test_a_severity_stands_for_an_amount_and_amounts_grow():
    for name, kind in PAIRS:
        one, x = SHIFTS[name], data(kind)
        assert list(one.severities) == sorted(set(one.severities))
        assert one.severities[0] > 0
        assert one.severities[-1] <= one.most
        for severity, amount in enumerate(one.severities, start=1):
            np.testing.assert_array_equal(shift(x, name, severity), shift(x, name, amount=amount))


@pytest.mark.parametrize("known", ["fashion_mnist_10k", "digits", "letter"])
def test_real_data_move_farther_with_every_severity(known):
    x = load_dataset(known).x_test[:300]
    # Eight pixels are too few for five steps to one side: those come back, as their words say.
    names = {"fashion_mnist_10k": IMAGES, "letter": TABLES}.get(
        known, [name for name in IMAGES if "translation" not in name]
    )
    for name in names:
        moves = [distance(shift(x, name, severity), x) for severity in range(6)]
        assert (np.diff(moves) > 0).all(), (name, moves)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_happens_to_an_image_depends_on_the_seed_and_its_number_alone(name, dtype):
    x = images(shape=(12, 14, 14), dtype=dtype)
    moved = shift(x, name, 3, seed=5)
    np.testing.assert_array_equal(shift(x[:4], name, 3, seed=5), moved[:4])
    other = x.copy()
    other[:8] = other[:8][::-1, ::-1] // 2
    np.testing.assert_array_equal(shift(other, name, 3, seed=5)[8:], moved[8:])


@pytest.mark.parametrize("name", TABLES)
def test_a_row_of_a_table_depends_on_the_others_only_by_mean_and_deviation(name):
    x = table()
    np.testing.assert_allclose(shift(np.concatenate([x, x]), name, 3)[: len(x)], shift(x, name, 3), rtol=1e-6)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_the_seed_decides_random_shifts_and_only_those(name, kind):
    x = data(kind)
    np.testing.assert_array_equal(shift(x, name, 3, seed=1), shift(x, name, 3, seed=1))
    assert np.array_equal(shift(x, name, 3, seed=1), shift(x, name, 3, seed=2)) == (name not in RANDOM)


@pytest.mark.parametrize("name", RANDOM)
def test_equal_examples_are_moved_differently(name):
    if name in IMAGES:
        x = np.repeat(images(shape=(1, 14, 14)), 2, axis=0)
    else:
        x = np.concatenate([np.repeat(table(shape=(1, 40)), 2, axis=0), table(1, (8, 40))])
    moved = shift(x, name, 3)
    assert not np.array_equal(moved[0], moved[1])


@given(seed=seeds, width=st.integers(1, 40), times=st.integers(1, 3))
@few
def test_a_roll_by_the_width_is_the_identity(seed, width, times):
    for dtype in DTYPES:
        x = images(seed, (2, 3, width), dtype)
        np.testing.assert_array_equal(shift(x, "translation", amount=times * width), x)
    far = x * 1e3 - 7.7
    np.testing.assert_array_equal(shift(far, "translation", amount=times * width), far)


@given(seed=seeds, one=st.integers(0, 30), other=st.integers(0, 30))
@few
def test_translations_add_up_and_take_each_pixel_to_the_right(seed, one, other):
    x = images(seed, (2, 4, 9), "uint8")
    both = shift(shift(x, "translation", amount=one), "translation", amount=other)
    np.testing.assert_array_equal(both, shift(x, "translation", amount=one + other))
    for column in range(9):
        np.testing.assert_array_equal(both[:, :, (column + one + other) % 9], x[:, :, column])


@given(seed=seeds, amount=st.integers(0, 30))
@few
def test_a_padded_translation_is_a_crop_of_the_image_padded_with_black(seed, amount):
    x = images(seed, (2, 4, 9), "uint8")
    padded = np.pad(x, ((0, 0), (0, 0), (amount, 0)))[:, :, :9]
    np.testing.assert_array_equal(shift(x, "padded_translation", amount=amount), padded)


def test_the_grids_of_ovadia_are_amounts_in_degrees_and_pixels():
    assert list(OVADIA["rotation"]) == [15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180]
    assert list(OVADIA["translation"]) == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26]
    x = images(shape=(3, 28, 28))
    for degrees in OVADIA["rotation"]:
        turned = rotate(x, degrees, axes=(2, 1))
        start = (turned.shape[1] - 28) // 2
        cropped = turned[:, start : start + 28, start : start + 28]
        np.testing.assert_allclose(shift(x, "rotation", amount=degrees), cropped.clip(0, 1), atol=1e-6)
    for pixels in OVADIA["translation"]:
        np.testing.assert_array_equal(shift(x, "translation", amount=pixels), np.roll(x, pixels, axis=-1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_quarter_turns_are_exact_and_counter_clockwise(dtype):
    x = images(shape=(3, 14, 14), dtype=dtype)
    for turns in range(1, 4):
        turned = shift(x, "rotation", amount=90 * turns)
        np.testing.assert_allclose(turned, np.rot90(x, turns, axes=(1, 2)), atol=1e-3 if dtype == "float16" else 1e-6)
    np.testing.assert_array_equal(shift(x, "rotation", amount=360), x)
    wide = images(shape=(3, 6, 11), dtype=dtype)
    np.testing.assert_allclose(shift(wide, "rotation", amount=180), wide[:, ::-1, ::-1], atol=1e-3)


def test_rotation_overshoots_no_range_and_fills_with_black():
    x = np.zeros((1, 20, 20), dtype=np.float32)
    x[:, 5:15, 5:15] = 1
    assert rotate(x, 30, axes=(1, 2), reshape=False).max() > 1.01
    assert shift(x, "rotation", amount=30).max() == 1
    white = np.full((1, 20, 20), 255, dtype=np.uint8)
    assert shift(white, "rotation", amount=45)[0, 0, 0] == 0
    negative = images() * 2 - 1
    assert shift(negative, "rotation", amount=45)[0, 0, 0] == pytest.approx(-1)


@pytest.mark.parametrize("name", IMAGES)
def test_float_images_beyond_0_to_1_keep_their_own_range(name):
    x = images(shape=(6, 14, 14), dtype="float64")
    assert (x.min(), x.max()) == (0, 1)
    far = x * 10 - 4
    moved = shift(far, name, 4)
    assert -4 <= moved.min() <= moved.max() <= 6
    np.testing.assert_allclose(moved, shift(x, name, 4) * 10 - 4, atol=1e-5)


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_one_value_beyond_0_to_1_have_nowhere_to_go(name):
    x = np.full((2, 6, 6), 5.0)
    np.testing.assert_array_equal(shift(x, name, 5), x)


def test_gaussian_noise_has_its_deviation_in_the_range_of_images():
    grey = np.full((20, 30, 30), 0.5)
    noise = shift(grey, "gaussian_noise", amount=0.1) - 0.5
    assert noise.std() == pytest.approx(0.1, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=0.004)
    assert noise.mean(axis=0).std() == pytest.approx(0.1 / np.sqrt(20), rel=0.15)
    in_bytes = shift(np.full((20, 30, 30), 128, dtype=np.uint8), "gaussian_noise", amount=0.1)
    assert in_bytes.std() == pytest.approx(25.5, rel=0.03)
    assert in_bytes.mean() == pytest.approx(128, abs=0.8)


def test_gaussian_noise_has_its_deviation_in_that_of_each_feature_and_is_not_clipped():
    x = table(shape=(4000, 4))
    x[:, 3] = 7
    moved = shift(x, "gaussian_noise", amount=0.5)
    np.testing.assert_allclose((moved - x)[:, :3].std(axis=0) / x[:, :3].std(axis=0), 0.5, rtol=0.05)
    np.testing.assert_array_equal(moved[:, 3], 7)
    assert (shift(x, "gaussian_noise", amount=3).max(axis=0) > x.max(axis=0))[:3].all()


def test_shot_noise_is_poisson_black_stays_black_and_the_mean_stays():
    grey = np.full((20, 40, 40), 0.25)
    moved = shift(grey, "shot_noise", amount=0.2)
    np.testing.assert_allclose(moved * 25, np.rint(moved * 25), atol=1e-9)
    assert moved.mean() == pytest.approx(0.25, rel=0.01)
    assert moved.std() == pytest.approx(0.2 * np.sqrt(0.25), rel=0.03)
    assert not shift(np.zeros((2, 5, 5)), "shot_noise", 5).any()
    np.testing.assert_allclose(shift(grey, "shot_noise", amount=1e-200), grey, atol=1e-5)


def test_blur_spreads_a_point_normally_keeps_a_plane_and_leaves_other_images_alone():
    x = np.zeros((3, 31, 31))
    x[1, 15, 15] = 1
    moved = shift(x, "blur", amount=2)
    bell = norm.pdf(np.arange(-15, 16), scale=2)
    np.testing.assert_allclose(moved[1], np.outer(bell, bell), atol=1e-5)
    assert moved[1].sum() == pytest.approx(1)
    assert not moved[[0, 2]].any()
    np.testing.assert_allclose(shift(np.full((1, 9, 9), 0.7), "blur", 5), 0.7)


@given(seed=seeds, amount=st.floats(0, 1))
@few
def test_contrast_keeps_the_mean_of_an_image_and_shrinks_its_deviation(seed, amount):
    x = images(seed, dtype="float64")
    moved = shift(x, "contrast", amount=amount)
    np.testing.assert_allclose(moved.mean(axis=(1, 2)), x.mean(axis=(1, 2)))
    np.testing.assert_allclose(moved.std(axis=(1, 2)), (1 - amount) * x.std(axis=(1, 2)), atol=1e-9)
    in_bytes = images(seed, dtype="uint8")
    gap = shift(in_bytes, "contrast", amount=amount).mean(axis=(1, 2)) - in_bytes.mean(axis=(1, 2))
    assert np.abs(gap).max() <= 0.5


@given(seed=seeds, height=st.integers(3, 20), width=st.integers(3, 20), amount=st.floats(0, 1))
@few
def test_occlusion_blackens_one_square_inside_each_image_and_nothing_else(seed, height, width, amount):
    x = 0.5 + images(seed, (5, height, width)) / 2
    moved = shift(x, "occlusion", amount=amount, seed=seed)
    side = round(amount * min(height, width))
    for before, after in zip(x, moved, strict=True):
        rows, columns = np.nonzero(after == 0)
        assert len(rows) == side**2
        if side:
            assert np.ptp(rows) == np.ptp(columns) == side - 1
        np.testing.assert_array_equal(after[after > 0], before[after > 0])


@given(seed=seeds, amounts=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted))
@few
def test_what_a_small_amount_hides_or_drops_a_larger_one_does_too(seed, amounts):
    x = 0.5 + images(seed, (5, 13, 16)) / 2
    small, large = (shift(x, "occlusion", amount=amount, seed=seed) == 0 for amount in amounts)
    assert (large | ~small).all()
    features = table(seed)
    small, large = (shift(features, "feature_dropout", amount=amount, seed=seed) != features for amount in amounts)
    assert (large | ~small).all()


def test_occlusion_reaches_every_place_with_equal_chances():
    x = np.ones((4000, 4, 5), dtype=np.float32)
    hidden = (shift(x, "occlusion", amount=0.25) == 0).mean(axis=0)
    np.testing.assert_allclose(hidden, 1 / 20, atol=0.015)


def test_feature_dropout_sets_the_stated_share_to_the_mean_of_the_feature():
    x = table(shape=(4000, 5))
    moved = shift(x, "feature_dropout", amount=0.3)
    dropped = moved != x
    np.testing.assert_allclose(dropped.mean(axis=0), 0.3, atol=0.03)
    assert dropped.sum(axis=1).std() == pytest.approx(np.sqrt(5 * 0.3 * 0.7), rel=0.05)
    means = np.broadcast_to(x.mean(axis=0, dtype=float), x.shape)
    np.testing.assert_allclose(moved[dropped], means[dropped], rtol=1e-6)
    np.testing.assert_allclose(shift(x, "feature_dropout", amount=1), means, rtol=1e-6)


def test_inputs_of_the_other_kind_are_refused_with_what_to_use():
    with pytest.raises(
        InputError, match=r"x must be a table .* 'feature_dropout', got shape \(6, 14, 14\).*rotation, "
    ):
        shift(images(), "feature_dropout", 1)
    for name in set(IMAGES) - set(TABLES):
        with pytest.raises(InputError, match=f"{name!r}, got .*a shift of tables: gaussian_noise, feature_dropout$"):
            shift(table(), name, 0)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros(3), "features) or more dimensions"),
        (np.zeros((2, 2, 2, 2, 2)), "channels), or a table"),
        (np.zeros((0, 2, 2)), "at least one example"),
        (np.full((1, 2, 2), np.nan), "must be finite"),
        (np.zeros((1, 2, 2), dtype=int), "x must be uint8 or floats, got dtype int64; convert it"),
        (np.zeros((1, 2, 2), dtype=bool), "got dtype bool"),
    ],
)
def test_inputs_that_cannot_be_moved_are_refused(x, words):
    with pytest.raises(InputError, match=re.escape(words)):
        shift(x, "gaussian_noise", 1)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"name": "rotatoin", "severity": 1}, "did you mean 'rotation'"),
        ({"name": "rotation"}, "either a severity from 0 to 5 or an amount, got neither; 'rotation': Turned by"),
        ({"name": "rotation", "severity": 1, "amount": 15}, "got both"),
        ({"name": "rotation", "severity": 6}, "from 0 to 5, got 6"),
        ({"name": "rotation", "severity": -1}, "severity must be a whole number"),
        ({"name": "rotation", "severity": 1.5}, "severity must be a whole number"),
        ({"name": "rotation", "amount": -15}, "from 0 to 360, got -15"),
        ({"name": "contrast", "amount": 1.1}, "from 0 to 1, got 1.1; 'contrast': Drawn"),
        ({"name": "blur", "amount": float("nan")}, "got nan"),
        ({"name": "blur", "amount": float("inf")}, "got inf"),
        ({"name": "blur", "amount": True}, "got True"),
        ({"name": "blur", "amount": "2"}, "got '2'"),
        ({"name": "translation", "amount": 1.5}, "whole number of pixels"),
        ({"name": "padded_translation", "amount": 1.5}, "whole number of pixels"),
        ({"name": "translation", "severity": 0, "seed": -1}, "seed must be"),
    ],
)
def test_choices_out_of_range_are_refused(choices, words):
    with pytest.raises(InputError, match=re.escape(words)):
        shift(images(), **choices)
