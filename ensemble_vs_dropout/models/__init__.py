"""What a Keras model is: the one place that knows Keras' layer types and its insides.

* `backend`: Keras and TensorFlow, and what is used of their insides
* `layers`: lists of layer types by what they do
* `heads`: what the outputs mean; `inputs`: what a model is fed
* `graphs`: what follows what; `architecture`: what a model is but for its weights; `copies`: the same computation on
  variables of its own
* `random_layers`: which layers draw, and how to let only some; `draws`: numbers that no batch changes, and dropout
* `programs`: functions traced once for all models built alike
* `costs`: multiply-accumulates (MACs) of a prediction
* `classic_dropout`: dropout as it was first published; `builders`: `mlp`, `lenet`, `small_cnn`
"""
