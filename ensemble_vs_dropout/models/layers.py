"""Lists of Keras' layer types by what they do, for all that must tell one layer from another.

A list says what is known of these types; a type of the user's own is in none of them, unless it inherits from one and
the list is asked by `isinstance`.
"""

from ensemble_vs_dropout.models.backend import keras

# What disturbs units while training, by a `rate`; where that is 0 it does nothing.
BY_RATE = (keras.layers.Dropout, keras.layers.GaussianDropout, keras.layers.AlphaDropout)
# What drops by Keras' one dropout function, at a `rate` that can be another number for each member of one program.
RATED = (
    keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D, keras.layers.SpatialDropout3D,
)  # fmt: skip
# What holds numbers that can be others for each member too, by the attributes that hold them.
_DECAY = ("initial_learning_rate", "decay_steps")
NUMBERS = {
    keras.regularizers.L1: ("l1",),
    keras.regularizers.L2: ("l2",),
    keras.constraints.MaxNorm: ("max_value",),
    keras.optimizers.schedules.CosineDecay: (*_DECAY, "alpha"),
    keras.optimizers.schedules.ExponentialDecay: (*_DECAY, "decay_rate"),
    keras.optimizers.schedules.InverseTimeDecay: (*_DECAY, "decay_rate"),
}
# Optimizers by the shares of what they remember, which can be so where they are not 0.
SHARES = {
    keras.optimizers.SGD: ("momentum",),
    keras.optimizers.RMSprop: ("rho",),
    keras.optimizers.Adam: ("beta_1", "beta_2"),
    keras.optimizers.AdamW: ("beta_1", "beta_2"),
    keras.optimizers.Lion: ("beta_1", "beta_2"),
}
# What does so by normal numbers; where each is their mean it does nothing.
BY_NORMAL = (keras.layers.GaussianDropout, keras.layers.GaussianNoise)
# What multiplies and adds, given its draws, so that Rescaling can stand in for it.
AFFINE = (*BY_RATE, keras.layers.GaussianNoise)
# What drops scores of attention, by its `dropout`.
ATTENTION = (keras.layers.Attention, keras.layers.AdditiveAttention)

# Layers with products of weights and inputs, one list for each way to count them; see `costs`.
CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
RECURRENT = (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM, keras.layers.RNN)
CELLS = (keras.layers.SimpleRNNCell, keras.layers.GRUCell, keras.layers.LSTMCell)  # of recurrent layers

# Layers with one kernel that all inputs go into, so that a factor of the inputs can be put into it.
KERNELS = (keras.layers.Dense, *CONVOLUTIONS)

# Layers whose weights act on each number by itself, or are looked up: they cost no products.
ELEMENTWISE = (
    keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.GroupNormalization,
    keras.layers.RMSNormalization, keras.layers.Normalization, keras.layers.Embedding, keras.layers.PReLU,
)  # fmt: skip

# Layers that give c times their outputs for c times their inputs, c above 0, whatever their settings: a factor passes
# through them on its way to the next kernel.
HOMOGENEOUS = (
    keras.layers.Flatten, keras.layers.Reshape, keras.layers.Permute, keras.layers.RepeatVector, keras.layers.LeakyReLU,
    keras.layers.MaxPooling1D, keras.layers.MaxPooling2D, keras.layers.MaxPooling3D, keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D, keras.layers.AveragePooling3D, keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling1D, keras.layers.GlobalMaxPooling2D,
    keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D, keras.layers.UpSampling2D, keras.layers.Dropout,
)  # fmt: skip

# Layers that XLA compiles well when they are vectorized; on a CPU its convolutions and loops are slow or fail.
GOOD_FOR_XLA = (
    keras.layers.InputLayer, keras.layers.Dense, keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU,
    keras.layers.Softmax, keras.layers.Dropout, keras.layers.Flatten, keras.layers.Reshape, keras.layers.Rescaling,
    keras.layers.Normalization, keras.layers.BatchNormalization, keras.layers.LayerNormalization,
    keras.layers.Embedding, keras.layers.Add, keras.layers.Concatenate, keras.layers.GlobalAveragePooling1D,
)  # fmt: skip

# Layers that compute the same in training as in inference mode while nothing in them learns (a BatchNormalization only
# where it is frozen), so that what they give can be kept; and those among them that it pays to keep.
_READING = (
    keras.layers.TextVectorization, keras.layers.StringLookup, keras.layers.IntegerLookup, keras.layers.Hashing,
    keras.layers.Discretization, keras.layers.CategoryEncoding, keras.layers.Resizing,
)  # fmt: skip
COSTLY = (
    keras.layers.Dense, keras.layers.EinsumDense, *CONVOLUTIONS, *TRANSPOSED, *DEPTHWISE, *SEPARABLE, *_READING,
)  # fmt: skip
FIXED = (
    *COSTLY, keras.layers.InputLayer, keras.layers.Identity, keras.layers.Activation, keras.layers.ReLU,
    keras.layers.LeakyReLU, keras.layers.ELU, keras.layers.PReLU, keras.layers.Softmax, keras.layers.Embedding,
    keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.GroupNormalization,
    keras.layers.RMSNormalization, keras.layers.UnitNormalization, keras.layers.Normalization, keras.layers.Rescaling,
    keras.layers.CenterCrop, keras.layers.Flatten, keras.layers.Reshape, keras.layers.Permute,
    keras.layers.RepeatVector, keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D, keras.layers.ZeroPadding3D,
    keras.layers.Cropping1D, keras.layers.Cropping2D, keras.layers.Cropping3D, keras.layers.UpSampling1D,
    keras.layers.UpSampling2D, keras.layers.UpSampling3D, keras.layers.MaxPooling1D, keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D, keras.layers.AveragePooling1D, keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D, keras.layers.GlobalMaxPooling1D, keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D, keras.layers.GlobalAveragePooling1D, keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D, keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply,
    keras.layers.Average, keras.layers.Maximum, keras.layers.Minimum, keras.layers.Concatenate, keras.layers.Dot,
)  # fmt: skip

# Names of layers and operations that predict what they are given, in another shape or dtype at most.
IDENTITIES = (
    "Reshape", "Flatten", "Squeeze", "ExpandDims", "Cast", "Identity", "ActivityRegularization", "Dropout",
    "GaussianDropout", "GaussianNoise", "AlphaDropout",
)  # fmt: skip
