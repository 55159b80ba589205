"""Monte Carlo dropout on a model file that you have: any Keras classifier with dropout layers, as it was saved.

python examples/mc_dropout_on_a_model_file.py model.keras      # or without a file, on a small one made here
"""

import sys

import keras
import numpy as np

import ensemble_vs_dropout as evd

if len(sys.argv) > 1:
    model = keras.models.load_model(sys.argv[1], safe_mode=True)
    x = np.random.default_rng(0).normal(size=(256, *model.input_shape[1:])).astype("float32")
else:
    data = evd.load_dataset("digits")
    model = evd.networks.mlp(units=(64,), rate=0.5)(data)
    model.fit(data.x_train, data.y_train, epochs=20, verbose=0)
    x = data.x_test

sampler = evd.MonteCarloDropout(model, passes=100, seed=0)
pooled = sampler.predict(x)
unsure = sampler.predict_uncertainty(x)
off = np.abs(pooled - evd.WeightScaling(model).predict(x)).max()
print(f"100 passes for {len(x)} examples; the largest difference from dropout switched off is {off:.3f}")
print(f"mutual information: {unsure.mutual_information.mean():.4f} nats on average")

early = evd.MonteCarloDropout(model, passes=100, seed=0, adaptive=0.01)
early.predict(x, rule="majority_vote")
print(f"with adaptive=0.01 an example took {early.passes_used.mean():.0f} passes on average to settle its label")
