"""Recipes of compiled models, and the user's own builder in their place."""

import numpy as np
import pytest

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.models.backend import keras
from ensemble_vs_dropout.models.builders import NETWORKS, build_for, find_builder, lenet, mlp, small_cnn, takes_width
from ensemble_vs_dropout.predictors import Ensemble


@pytest.fixture
def table(blobs, toy_dataset):
    return toy_dataset(*blobs(60))


@pytest.fixture
def images(toy_dataset):
    rng = np.random.default_rng(0)
    return toy_dataset(rng.integers(0, 256, (30, 28, 28)).astype("uint8"), np.arange(30) % 10)


def rates(model):
    return [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_rate_of_0_makes_no_dropout_layer_and_leaves_the_rest(name, images):
    recipe = NETWORKS[name](rate=0.5)
    with_dropout, without = recipe(images), recipe(images, rate=0.0)
    assert set(rates(with_dropout)) == {0.5}
    assert rates(without) == []
    assert with_dropout.count_params() == without.count_params()
    assert rates(NETWORKS[name]()(images)) == []


def test_the_call_overrides_the_rate_and_keeps_the_inputs_rate_unless_all_dropout_is_off(table):
    recipe = mlp(units=(4, 4), rate=0.5, input_rate=0.1)
    assert rates(recipe(table)) == [0.1, 0.5, 0.5]
    assert rates(recipe(table, rate=0.25)) == [0.1, 0.25, 0.25]
    assert rates(recipe(table, rate=0.0)) == []


def test_the_mlp_of_two_layers_of_256_on_784_inputs_has_269322_parameters(images):
    assert mlp(units=(256, 256), rate=0.5)(images).count_params() == 269_322


@pytest.mark.parametrize("recipe", [lenet(rate=0.5), small_cnn(rate=0.5), mlp(units=(8,), rate=0.5)])
def test_each_recipe_gives_a_new_compiled_model_for_28x28_images(recipe, images):
    model = recipe(images)
    assert model.compiled
    assert model is not recipe(images)
    assert model.predict(images.x_test, verbose=0).shape == (10, 10)
    assert recipe.name == model.name


def test_colour_images_of_three_axes_need_no_reshape(toy_dataset):
    rng = np.random.default_rng(0)
    data = toy_dataset(rng.integers(0, 256, (9, 12, 12, 3)).astype("uint8"), np.arange(9) % 3)
    assert small_cnn(filters=(2, 2), units=4)(data).predict(data.x_test, verbose=0).shape == (3, 3)


@pytest.mark.parametrize("recipe", [lenet(), small_cnn()])
def test_a_network_for_images_refuses_a_table(recipe, table):
    with pytest.raises(InputError, match=r"needs images.*use mlp"):
        recipe(table)


def test_uint8_is_rescaled_inside_so_a_saved_model_takes_raw_images(images, tmp_path):
    model = mlp(units=(4,))(images)
    first, bias, second, end = model.get_weights()
    scaled = images.x_test.reshape(10, -1) / 255
    expected = np.maximum(scaled @ first + bias, 0) @ second + end
    np.testing.assert_allclose(model.predict(images.x_test, verbose=0), expected, atol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(loaded.predict(images.x_test, verbose=0), expected, atol=1e-4)
    assert loaded.inputs[0].dtype == "uint8"


def test_floats_are_not_rescaled(table):
    assert not any(isinstance(layer, keras.layers.Rescaling) for layer in mlp(units=(4,))(table).layers)


@pytest.mark.parametrize(("width", "size"), [(1.0, 10), (2.0, 20), (0.5, 5), (0.01, 1)])
def test_width_multiplies_the_hidden_sizes_down_to_one_unit(table, width, size):
    model = mlp(units=(10,))(table, width=width)
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [size, 3]


def test_width_multiplies_filters_too(images):
    model = small_cnn(filters=(4, 6), units=8)(images, width=2.0)
    assert [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)] == [8, 12]


def test_the_penalty_is_on_the_squares_of_the_hidden_weights(table):
    model = mlp(units=(5, 5), l2=0.1)(table)
    hidden = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][:-1]
    expected = 0.1 * sum(float(np.square(layer.get_weights()[0]).sum()) for layer in hidden)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)
    assert mlp(units=(5, 5))(table).losses == []
    with pytest.raises(InputError, match="l2 must be a number of at least 0, got -1"):
        mlp(l2=-1)


def test_max_norm_bounds_the_weights_into_every_hidden_unit_after_training(table):
    recipe = mlp(units=(5, 5), max_norm=0.6, optimizer="sgd", learning_rate=1.0)
    ensemble = Ensemble(lambda: recipe(table), members=1)
    ensemble.fit(table.x_train, table.y_train, epochs=3, batch_size=8, verbose=0)
    dense = [layer for layer in ensemble.models[0].layers if isinstance(layer, keras.layers.Dense)]
    norms = [np.linalg.norm(np.asarray(layer.kernel), axis=0) for layer in dense]
    assert max(norms[0].max(), norms[1].max()) <= 0.6 + 1e-5
    assert max(norms[0].max(), norms[1].max()) > 0.59  # it had something to bound


def test_batch_norm_stands_between_each_product_and_its_activation(table):
    kinds = [type(layer).__name__ for layer in mlp(units=(4,), rate=0.5, batch_norm=True)(table).layers]
    assert kinds == ["Flatten", "Dense", "BatchNormalization", "Activation", "Dropout", "Dense"]


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_the_named_optimizer_gets_the_learning_rate_and_belongs_to_one_model(table, optimizer):
    recipe = mlp(units=(4,), optimizer=optimizer, learning_rate=0.03)
    first, second = recipe(table), recipe(table)
    assert type(first.optimizer).__name__.lower() == optimizer
    assert float(first.optimizer.learning_rate) == pytest.approx(0.03)
    assert first.optimizer is not second.optimizer


@pytest.mark.parametrize("recipe", [mlp, lenet, small_cnn])
def test_an_optimizer_instance_is_refused_for_it_would_be_shared(recipe):
    with pytest.raises(InputError, match=r"optimizer must be the name of one.*SGD"):
        recipe(optimizer=keras.optimizers.SGD())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp(rate=1.0), r"rate must be a number in \[0, 1\)"),
        (lambda: mlp(input_rate=-0.1), "input_rate must be"),
        (lambda: mlp(units=(0,)), "units must be a whole number of at least 1"),
    ],
)
def test_settings_that_make_no_network_are_refused_before_the_data_come(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_known_name_finds_its_recipe():
    assert find_builder("mlp").settings["units"] == (256, 256)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown model 'lennet' \(did you mean 'lenet'\?\).*small_cnn"):
        find_builder("lennet")


def test_the_users_builder_is_found_in_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "own_networks_of_mine.py").write_text("def build(data, rate):\n    return 'mine'\nnumber = 3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    assert find_builder("own_networks_of_mine:build")(None, 0) == "mine"
    with pytest.raises(InputError, match="'own_networks_of_mine' has no 'missing'"):
        find_builder("own_networks_of_mine:missing")
    with pytest.raises(InputError, match="must be a function, got int"):
        find_builder("own_networks_of_mine:number")


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(InputError, match="cannot import 'no_such_module_here'"):
        find_builder("no_such_module_here:build")


def test_an_empty_module_name_is_refused_with_advice():
    with pytest.raises(InputError, match=":build"):
        find_builder(":build")


def test_a_builder_gets_those_of_data_rate_and_width_that_it_takes(table):
    assert build_for(lambda rate: rate, table, rate=0.3) == 0.3
    assert build_for(lambda data, rate: (data, rate), table, rate=0.3) == (table, 0.3)
    assert build_for(lambda rate, width: (rate, width), table, rate=0.3, width=2.0) == (0.3, 2.0)
    assert build_for(lambda **given: sorted(given), table, rate=0.3) == ["data", "rate", "width"]


def test_a_builder_that_takes_no_rate_is_refused_by_name(table):
    def make(data):
        return data

    with pytest.raises(InputError, match=r"'make' takes \(data\)"):
        build_for(make, table, rate=0.5)


def test_only_a_builder_with_the_argument_can_be_made_wider():
    assert takes_width(mlp())
    assert not takes_width(lambda rate: rate)


def test_depth_repeats_the_layers(images):
    assert mlp(units=(8,), depth=3)(images).count_params() == mlp(units=(8, 8, 8))(images).count_params()
    assert mlp(units=(8, 4), depth=2)(images).count_params() == mlp(units=(8, 4, 8, 4))(images).count_params()
    with pytest.raises(InputError, match="depth must be a whole number of at least 1, got 0"):
        mlp(depth=0)


@pytest.mark.slow
def test_a_learning_rate_that_falls_reaches_half_and_0_and_trains_no_further(table):
    recipe = mlp(units=(4,), learning_rate=0.01, decay_steps=4)
    falling = recipe(table).optimizer.get_config()["learning_rate"]["config"]
    assert (falling["initial_learning_rate"], falling["decay_steps"]) == (0.01, 4)
    weights = []
    for epochs in (1, 2, 3):
        ensemble = Ensemble(lambda: recipe(table), members=2, seed=0)
        ensemble.fit(table.x_train, table.y_train, epochs=epochs, batch_size=-(-len(table.x_train) // 2), verbose=0)
        weights.append(ensemble.models[1].get_weights())  # two updates in an epoch
    for first, second, third in zip(*weights, strict=True):
        assert (first != second).any()
        np.testing.assert_array_equal(second, third)
    assert isinstance(mlp()(table).optimizer.get_config()["learning_rate"], float)
    with pytest.raises(InputError, match="decay_steps must be"):
        mlp(decay_steps=0)
