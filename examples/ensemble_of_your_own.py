"""An ensemble of your own builder: train it, combine it, look at its uncertainty, deploy it as one Keras model.

python examples/ensemble_of_your_own.py        # 15 seconds on two cores
"""

import keras

import ensemble_vs_dropout as evd


def build() -> keras.Model:
    """Return a new compiled network; each call draws other initial weights."""
    model = keras.Sequential(
        [
            keras.Input((8, 8)),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


data = evd.load_dataset("digits")
ensemble = evd.Ensemble(build, members=5, seed=0)
ensemble.fit(data.x_train, data.y_train, validation_data=(data.x_val, data.y_val), epochs=20, patience=3)

for rule in ("mean", "geometric_mean", "majority_vote"):
    wrong = (ensemble.predict(data.x_test, rule=rule).argmax(axis=1) != data.y_test).mean()
    print(f"{rule}: {wrong:.2%} wrong")

weights = evd.fit_weights(ensemble.predict_members(data.x_val).probs, data.y_val)
wrong = (ensemble.predict(data.x_test, rule="weighted_mean", weights=weights).argmax(axis=1) != data.y_test).mean()
print(f"weighted_mean: {wrong:.2%} wrong with the weights {weights.round(2).tolist()}, fitted on validation data")

unsure = ensemble.predict_uncertainty(data.x_test).mutual_information.nlargest(3)
print(f"the members disagree most about the examples {unsure.index.tolist()}")

ensemble.to_keras(rule="mean").save("ensemble.keras")
print("ensemble.keras holds the whole ensemble; it loads without this package")
