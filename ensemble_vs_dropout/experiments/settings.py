"""What a study is: a YAML file of base settings and a grid over them, checked key by key.

    name: tiny
    base: {dataset: digits, model: {name: mlp, units: [32]}, members: 3, passes: 5, epochs: 2}
    grid: {rate: [0.2, 0.5], train_size: [200, 500]}
    repetitions: 2

Every combination of the grid's values is a point; `cases` are further lists of settings that are varied together.
Keys of the model's own are reached by `model.units`. What cannot be is named with its line and the nearest valid key.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from ensemble_vs_dropout.checks import InputError
from ensemble_vs_dropout.datasets import OVADIA, SHIFTS
from ensemble_vs_dropout.evaluation.arms import EACH, RECIPES, find_arms
from ensemble_vs_dropout.files import read_file
from ensemble_vs_dropout.measures import METRICS, RULES, STANDARD_METRICS, STANDARD_RULES
from ensemble_vs_dropout.measures.aggregation import find_rule
from ensemble_vs_dropout.measures.metrics import find_metric
from ensemble_vs_dropout.measures.spread import LEAST

Split = Literal["test", "val", "train"]
AUTO = "auto"
_LARGEST = 100_000  # values of a study file: a few lines of references can stand for billions
MOST_RUNS = 100_000  # of a study: a few lines of a grid make billions
_MOST_CANDIDATES = 1_000
_TUNABLE = ("rate", "batch_size", "patience", "epochs", "model")
_NAME = re.compile(r"[\w][\w .+-]{0,99}")


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


_Number = BeforeValidator(_no_bool)  # true would count as 1
AtLeastOne = Annotated[int, Field(ge=1, le=10**9), _Number]
Members = Annotated[int, Field(ge=1, le=100_000), _Number]
NotNegative = Annotated[int, Field(ge=0), _Number]
Fraction = Annotated[float, Field(ge=0, lt=1), _Number]


def _or_auto(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if value == AUTO else handler(value)


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class ModelSettings(BaseModel):
    """A recipe of `networks` with its settings, or the user's builder as `package.module:function`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = "mlp"


class Tuning(_Checked):
    """How settings are chosen on validation data: each recipe tries as many candidates as the other.

    Attributes:
        metric: What is to be best on validation data: of the weight-scaled dropout network, and of a single network.
        members: Networks of a trial, whose mean counts.
        dropout: Lists of candidates by key; every combination is a trial.
        plain: The same for networks without dropout.
    """

    metric: str = "nll"
    members: Members = 1
    dropout: dict[str, list[Any]] = Field(default={"rate": [0.1, 0.2, 0.3, 0.5, 0.7]})
    plain: dict[str, list[Any]] = Field(default={"batch_size": [32, 64, 128, 256, 512]})

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        return _known("metric", [name], METRICS)[0]

    @model_validator(mode="after")
    def _fair(self) -> Tuning:
        for recipe in ("plain", "dropout"):
            for key in getattr(self, recipe):
                if key.partition(".")[0] not in _TUNABLE or (recipe == "plain" and key == "rate"):
                    raise ValueError(f"{key!r} cannot be tuned for {recipe}; {', '.join(_TUNABLE)}.* can")
                for value in getattr(self, recipe)[key]:
                    _check_candidate(recipe, key, value)
                if not getattr(self, recipe)[key]:
                    raise ValueError(f"{recipe}.{key} must list at least one candidate")
            number = math.prod(map(len, getattr(self, recipe).values()))
            if number > _MOST_CANDIDATES:
                raise ValueError(f"{recipe} must list at most {_MOST_CANDIDATES:,} candidates, which are {number:,}")
            candidates = self.candidates(recipe)
            twice = next((one for n, one in enumerate(candidates) if one in candidates[:n]), None)
            if twice:
                raise ValueError(
                    f"{recipe} lists the candidate {twice} twice; trials of the same are no further effort"
                )
        return self

    def candidates(self, recipe: str) -> list[dict[str, Any]]:
        """Return what the trials of a recipe try, in the order of the file."""
        grid = getattr(self, recipe)
        return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


class Settings(_Checked):
    """What one point of a study is; the defaults are those of `compare`.

    Attributes:
        drop: Columns of a table that are left out.
        missing: What is done about features that are missing in a table; see `load_dataset`.
        seed: Root of all random draws: the split, the networks, the masks.
        data_seed: Of the split and the shifts, where it is to be another than `seed`.
        new_splits: Whether every repetition has training, validation and test parts of its own: those of the first are
            drawn by `data_seed`, even where the source has a test part, and the others' by seeds derived from it. With
            "train" the test part of the source stays, and the training and validation parts are drawn anew.
        rate: Or "auto": chosen on validation data, as `tuning` says or by its defaults.
        head: What the outputs of a network of the user's own are, "logits" or "probabilities", where neither its loss
            nor its last activation tells.
        class_weight: By the names of classes, how much their examples count in training, 1 where none is given; or
            "balanced": as much in all as if every class were equally frequent. What is judged is not weighted.
        recipes: What is trained: networks without dropout ("plain"), dropout networks ("dropout"); by default what the
            arms use.
        arms: The ways to use networks that are judged: names in `ARMS`, or "package.module:NAME" of an `Arm` of the
            user's own; none for all of the recipes.
        rules: How members are combined: names in `RULES`, or "package.module:function".
        metrics: What is measured: names in `METRICS`, or "package.module:NAME" of a `Metric` or a function.
        margins: By metric, in the unit that tables show, such as percentage points of error: differences below it do
            not matter, and contrasts say whether they are shown to be below it.
        controls: Whether one wide network of about the ensemble's parameters is trained too; the model must take
            `width`.
        resamples: Of the bootstrap, for measures that are no means of examples.
        probe: Whether one network of each recipe of several is also trained with three times the epochs and the
            patience, to tell whether these are enough.
        tuning: What is chosen on validation data, for each recipe; None if nothing is and the rate is a number.
        splits: The parts of the data that scores are of.
        watch: Parts whose loss and metrics are recorded after each epoch, besides that of validation.
        exact: Whether the dropout network is also averaged over all its masks, of which there are 2^units: 16 units
            of dropout at most.
        keep_shifted: Of how many test examples the predictions are kept under each shift.
        shifts: What is done to the test inputs, as further conditions of evaluation: names in `datasets.SHIFTS`, each
            at five severities; or by name "severities", "ovadia" (the grid of Ovadia et al. 2019), or amounts.
        other_data: A data set of the same input shape; how well uncertainty tells its test part is judged too.

    Example:
        >>> settings = Settings(dataset="digits", members=3, rate="auto")
        >>> settings.given()
        {'dataset': 'digits', 'members': 3, 'rate': 'auto'}
        >>> settings.chosen({"rate": 0.2}).rate
        0.2
    """

    dataset: str
    target: str | None = None
    drop: tuple[str, ...] = ()
    missing: Literal["refuse", "drop", "median", "most_frequent"] = "refuse"
    train_size: Annotated[int, Field(ge=2), _Number] | None = None
    label_noise: Fraction = 0.0
    data_seed: NotNegative | None = None
    new_splits: bool | Literal["train"] = False
    model: ModelSettings = ModelSettings()
    width: Annotated[float, Field(gt=0), _Number] = 1.0
    head: Literal["logits", "probabilities"] | None = None
    class_weight: dict[str, float] | str | None = None
    members: Members = 5
    rate: Annotated[float, Field(gt=0, lt=1), _Number, WrapValidator(_or_auto)] = 0.5
    tuning: Tuning | None = None
    probe: bool = False
    passes: AtLeastOne = 100
    epochs: AtLeastOne = 60
    patience: AtLeastOne | None = 10
    batch_size: AtLeastOne = 128
    seed: NotNegative = 0
    recipes: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    controls: bool = False
    rules: tuple[str, ...] = STANDARD_RULES
    metrics: tuple[str, ...] = STANDARD_METRICS
    margins: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    resamples: Annotated[int, Field(ge=100, le=10**9), _Number] = 10_000
    shifts: dict[str, Any] = {}
    keep_shifted: NotNegative = 0
    other_data: str | None = None
    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = ("test",)
    watch: tuple[Literal["train", "test"], ...] = ()
    exact: bool = False

    @property
    def trained(self) -> tuple[str, ...]:
        """The recipes whose networks are trained."""
        used = {arm.recipe for arm in find_arms(self.arms)} if self.arms else {*(self.recipes or ("plain", "dropout"))}
        return tuple(name for name, recipe in RECIPES.items() if name in used or (self.controls and recipe.single))

    @property
    def new_tests(self) -> bool:
        """Whether every repetition has a test part of its own."""
        return self.new_splits is True

    def given(self) -> dict[str, Any]:
        """Return what is not as by default, as JSON can hold it."""
        return self.model_dump(mode="json", exclude_defaults=True, warnings=False)  # of a rate that is "auto"

    @property
    def tuned(self) -> bool:
        """Whether anything is chosen on validation data."""
        return self.tuning is not None or str(self.rate) == AUTO

    @property
    def tuned_recipes(self) -> tuple[str, ...]:
        """The recipes that something is chosen for."""
        return tuple(dict.fromkeys(tuned_like(recipe) for recipe in self.trained)) if self.tuned else ()

    @property
    def how(self) -> Tuning:
        """How it is chosen."""
        return self.tuning or Tuning()

    def chosen(self, candidate: Mapping[str, Any]) -> Settings:
        """Return these settings with a candidate in place of what is tuned."""
        given = self.model_dump(exclude={"tuning", *(["rate"] if str(self.rate) == AUTO else [])})
        return Settings.model_validate(merged(given, candidate))

    @field_validator("shifts", mode="before")
    @classmethod
    def _as_shifts(cls, given: Any) -> Any:
        """Take a list of names, each at its five severities."""
        if not isinstance(given, list | tuple):
            return given
        if not all(isinstance(name, str) for name in given):
            raise ValueError("must be names of shifts, or numbers by their names")
        return dict.fromkeys(given, "severities")

    @field_validator("class_weight", mode="before")
    @classmethod
    def _weights(cls, given: Any) -> Any:
        """Take names of classes that are numbers, too."""
        if given is None or (isinstance(given, str) and given == "balanced"):
            return given
        weights = [*given.values()] if isinstance(given, Mapping) else []
        if not weights or not all(_is_amount(weight) for weight in weights):
            raise ValueError("must be balanced, or numbers of at least 0 by the names of classes")
        return {_name_of(label): float(weight) for label, weight in given.items()}

    @field_validator("new_splits", mode="before")
    @classmethod
    def _kind_of_splits(cls, given: Any) -> Any:
        if not isinstance(given, bool) and given != "train":
            raise ValueError("must be true, false or train")
        return given

    @field_validator("shifts")
    @classmethod
    def _known_shifts(cls, given: dict[str, Any]) -> dict[str, Any]:
        _known("shift", list(given), SHIFTS)
        _known("grid of Ovadia et al.", [name for name, amounts in given.items() if amounts == "ovadia"], OVADIA)
        for name, amounts in given.items():
            listed = isinstance(amounts, list | tuple) and amounts and all(map(_is_amount, amounts))
            if amounts not in ("severities", "ovadia") and not listed:
                raise ValueError(f"{name} must be severities, ovadia, or a list of amounts of at least 0")
        return given

    @field_validator("splits", "recipes", "arms", "rules", "metrics", "watch")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each must be named once")
        return names

    @field_validator("arms")
    @classmethod
    def _known_arms(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if names:
            find_arms(names)
        return names

    @field_validator("recipes")
    @classmethod
    def _known_recipes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _known("recipe", names, {name: one for name, one in RECIPES.items() if not one.single})
        return names

    @field_validator("rules")
    @classmethod
    def _known_rules(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in (name for name in names if ":" in name):
            find_rule(name)
        return _known("rule", names, {**RULES, EACH: None})

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in (name for name in names if ":" in name):
            find_metric(name)
        return _known("metric", names, METRICS)


def tuned_like(recipe: str) -> str:
    """Return the recipe whose chosen settings a recipe takes: that of networks with dropout, or that of those without.

    Example:
        >>> tuned_like("wide"), tuned_like("dropout")
        ('plain', 'dropout')
    """
    return "dropout" if RECIPES[recipe].dropout else "plain"


def make_settings(**given: Any) -> Settings:
    """Return settings, or raise `InputError` with the argument, the rule and what came."""
    try:
        settings = Settings.model_validate(given)
        _check_together({}, settings)
    except ValidationError as error:
        raise InputError(_told(error, "", {}, (), Settings).removeprefix(": ")) from error
    except ValueError as error:
        raise InputError(str(error)) from error
    return settings


class Study(_Checked):
    """A study file: `points` gives its settings one by one.

    Attributes:
        name: What its tables and messages call it.
        base: Settings of every point; what is not given has the default of `Settings`.
        grid: Lists of values by key; every combination is a point.
        cases: Settings that are varied together, one point (times the grid) each.
        repetitions: Of every point, with other seeds.

    Example:
        >>> study = Study(name="small", base={"dataset": "digits"}, grid={"rate": [0.2, 0.5]})
        >>> [keys for keys, _ in study.points()]
        [{'rate': 0.2}, {'rate': 0.5}]
    """

    name: str
    base: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    cases: list[dict[str, Any]] = Field(default_factory=list)
    repetitions: AtLeastOne = 1

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or ".." in name:
            raise ValueError("must be letters, digits, spaces and any of _.+- (but not ..), at most 100")
        return name

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that vary, in the order of the file."""
        return tuple(dict.fromkeys([*self.grid, *(key for case in self.cases for key in case)]))

    def points(self) -> Iterator[tuple[dict[str, Any], Settings]]:
        """Yield the varied keys and the settings of every point.

        Raises:
            InputError: Settings that do not fit together, or more points than can be planned.
        """
        number = max(1, len(self.cases)) * math.prod(map(len, self.grid.values())) * self.repetitions
        if number > MOST_RUNS:
            raise InputError(
                f"study {self.name!r}: points times repetitions must be at most {MOST_RUNS:,}, got {number:,}; "
                "leave out values or repetitions"
            )
        for case in self.cases or [{}]:
            for values in itertools.product(*self.grid.values()):
                varied = {**case, **dict(zip(self.grid, values, strict=True))}
                settings = Settings.model_validate(merged(self.base, varied))
                try:
                    _check_together(varied, settings)
                    if settings.new_tests and self.repetitions < LEAST:
                        raise ValueError(
                            f"repetitions must be at least {LEAST} with new_splits, for fewer splits say nothing of "
                            f"others, got {self.repetitions}"
                        )
                except ValueError as error:
                    raise InputError(f"study {self.name!r}: {error}") from error
                yield varied, settings


NO_VALUE = (ValueError, KeyError, IndexError, AttributeError)  # of YAML, at a date that is none or "!!bool x", say


def read_study(path: str | PathLike[str]) -> Study:
    """Read a study file, by YAML's safe loader: nothing in it is run.

    Raises:
        InputError: The file cannot be read, or something in it cannot be; the message says where and what to do.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "study.yaml"
        ...     _ = path.write_text("{name: small, base: {dataset: digits}, grid: {rate: [0.2, 0.5]}}")
        ...     study = read_study(path)
        >>> [settings.rate for _, settings in study.points()]
        [0.2, 0.5]
    """
    try:
        text = read_file(Path(path)).decode()
    except (OSError, ValueError) as error:
        raise InputError(f"the study {str(path)!r} cannot be read: {error}") from error
    return parse_study(text, str(path))


def parse_study(text: str, where: str = "study") -> Study:
    """Return the study that a YAML text describes; see `read_study`.

    Example:
        >>> study = parse_study("{name: small, base: {dataset: digits}, grid: {members: [2, 5]}}")
        >>> [settings.members for _, settings in study.points()]
        [2, 5]
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if _size(node, {}) > _LARGEST:
            raise InputError(
                f"{where}: its lists, with references followed, must hold at most {_LARGEST:,} values; write fewer"
            )
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: this is no YAML: {getattr(error, 'problem', error)}") from error
    except RecursionError as error:
        raise InputError(f"{where}: lists and keys stand too deep within each other; write a flat study") from error
    except InputError:
        raise
    except NO_VALUE as error:
        raise InputError(f"{where}: a value cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{where}: a study must be keys and values, starting with name:, got {content!r}")
    for path, value in _values(content):
        if not _is_plain(value):
            raise InputError(
                f"{where}: {'.'.join(map(str, path))} must be text, a number, true, false or null, got {value!r:.100}"
            )
    lines = dict(_lines(node))
    twice = next(_repeated(node), None)
    if twice:
        raise InputError(f"{where}, line {twice[1]}: the key {twice[0]!r} stands there twice; leave one out")
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise InputError(_told(error, where, lines, (), Study)) from error
    if "dataset" not in {*study.base, *study.keys}:
        raise InputError(f"{where}: base must name a dataset, as in base: {{dataset: digits}}")
    for key, values in study.grid.items():
        if not values:
            raise InputError(f"{where}, line {lines.get(('grid', key), 1)}: grid.{key} must list at least one value")
    place: tuple[Any, ...]
    for place, settings in _parts(study):
        for name, value in settings.items():
            at = lines.get((*place, name), lines.get(place[:1], 1))
            _check_setting(name, value, f"{where}, line {at}")
    if len(list(itertools.islice(study.points(), 1))) == 0:
        raise InputError(f"{where}: the study has no points")
    return study


def merged(base: Mapping[str, Any], varied: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with some of them replaced; `model.units` reaches into `model`, whose name may stand alone."""
    settings = dict(base)
    for key, value in varied.items():
        outer, _, inner = key.partition(".")
        if inner:
            settings[outer] = {**_as_model(settings.get(outer, {})), inner: value}
        else:
            settings[key] = value
    if "model" in settings:
        settings["model"] = _as_model(settings["model"])
    return settings


def _as_model(given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        return {"name": given}
    if not isinstance(given, Mapping):
        raise InputError(f"model must be a name, or a name with its settings, as in {{name: mlp}}, got {given!r:.100}")
    return dict(given)


def _values(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every value and key that is no list and no mapping, with its path."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield (*place, key), key
            yield from _values(value, (*place, key))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from _values(value, (*place, number))
    else:
        yield place, content


def _is_plain(value: Any) -> bool:
    """Return whether JSON can hold a value; a file can hold bytes, dates, and text that no encoding knows."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    return value is None or isinstance(value, bool | int | float)


def _parts(study: Study) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield every place that holds settings, with one value for each key."""
    yield ("base",), study.base
    for key, values in study.grid.items():
        for value in values:
            yield ("grid",), {key: value}
    for number, case in enumerate(study.cases):
        yield ("cases", number), case


def _check_setting(key: str, value: Any, where: str) -> None:
    """Check one setting by itself, so that its own line can be told."""
    outer = key.partition(".")[0]
    if key == "arms" and "plain" in (value if isinstance(value, list) else [value]):
        raise InputError(f"{where}: arms are ways to use networks; what is trained, such as plain, is a recipe")
    if outer not in Settings.model_fields or ("." in key and outer != "model"):
        raise InputError(f"{where}: unknown setting {key!r}{_nearest(key, Settings.model_fields)}")
    try:
        Settings.model_validate(merged({"dataset": "any"}, {key: value}))
    except ValidationError as error:
        raise InputError(_told(error, where, {}, (), Settings)) from error


def _told(
    error: ValidationError, where: str, lines: Mapping[tuple[Any, ...], int], place: tuple[Any, ...], kind: type
) -> str:
    """Return the first thing that is wrong in words."""
    first = error.errors()[0]
    path = (*place, *first["loc"])
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    at = f"{where}, line {line}" if line else where
    key = ".".join(str(part) for part in path)
    if first["type"] == "extra_forbidden":
        return f"{at}: unknown key {key!r}{_nearest(str(path[-1]), kind.model_fields)}"  # type: ignore[attr-defined]
    if first["type"] == "missing":
        return f"{at}: {key!r} must be given"
    message = first["msg"].removeprefix("Value error, ")
    return f"{at}: {key}: {message[0].lower()}{message[1:]}, got {first['input']!r}"


def _nearest(key: str, known: Any) -> str:
    nearest = difflib.get_close_matches(key, list(known), n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}"


def _check_together(varied: Mapping[str, Any], settings: Settings) -> None:
    """Raise ValueError unless settings that are right one by one fit together."""
    if "test" not in settings.splits and (settings.shifts or settings.other_data or settings.exact):
        raise ValueError("splits must hold test, of which shifts, other_data and exact are")
    if settings.arms and settings.recipes and set(settings.recipes) != {a.recipe for a in find_arms(settings.arms)}:
        raise ValueError("recipes must be those that arms use; leave recipes out")
    if strange := [name for name in settings.margins if name not in settings.metrics]:
        raise ValueError(
            f"margins must be of metrics that are measured, {', '.join(settings.metrics)}, got {strange[0]!r}"
        )
    if settings.arms and settings.controls:
        raise ValueError("controls must be false where arms are named; name wide among them")
    if not settings.tuned:
        return
    how = settings.how
    if "dropout" in settings.tuned_recipes and (str(settings.rate) == AUTO) != ("rate" in how.dropout):
        raise ValueError("rate must be auto where tuning.dropout lists candidates of rate, and only there")
    numbers = {recipe: len(how.candidates(recipe)) for recipe in settings.tuned_recipes}
    if len(set(numbers.values())) > 1:
        told = " and ".join(f"{number} for {recipe}" for recipe, number in numbers.items())
        raise ValueError(
            f"recipes must have as many candidates as each other, for equal tuning effort; there are {told}"
        )
    tuned = {key for recipe in settings.tuned_recipes for key in getattr(how, recipe)}
    if ":" in settings.model.name and any(key.startswith("model") for key in tuned):
        raise ValueError(f"model.* can be tuned for the networks of this package, not for {settings.model.name!r}")
    both = sorted(key for key in varied if key in tuned and varied[key] != AUTO)
    if both:  # its rows would be named by values that nothing was trained with
        raise ValueError(f"{both[0]} is tuned, so grid and cases must not vary it; leave it out of one of them")


def _check_candidate(recipe: str, key: str, value: Any) -> None:
    try:
        Settings.model_validate(merged({"dataset": "any"}, {key: value}))
    except ValidationError as error:
        raise ValueError(f"{recipe}.{key}: {error.errors()[0]['msg']}, got {value!r}") from error
    if value == AUTO:
        raise ValueError(f"{recipe}.{key}: a candidate must be a value, got {value!r}")


def _is_amount(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= cast(float, value) < float("inf")


def _name_of(label: Any) -> str:
    """Return the name of a class, which of whole numbers is written without a point."""
    whole = isinstance(label, Real) and not isinstance(label, bool) and cast(float, label) % 1 == 0
    return str(int(label)) if whole else str(label)


def _known(kind: str, names: Sequence[str], known: Mapping[str, Any]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {kind} {name!r}{_nearest(name, known)}")
    return tuple(names)


def _lines(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Yield where each key and item stands: (its path, its line)."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*place, key.value)
            yield path, key.start_mark.line + 1
            yield from _lines(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            path = (*place, number)
            yield path, value.start_mark.line + 1
            yield from _lines(value, path)


def _size(node: Any, known: dict[int, float]) -> float:
    """Return how many values a node stands for with its references followed; infinite if it refers to itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else ()
        inner = node.value if isinstance(node, yaml.SequenceNode) else inner
        known[id(node)] = 1 + sum(_size(part, known) for part in inner)
    return known[id(node)]


def _repeated(node: Any) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[Any] = set()
        for key, value in node.value:
            if key.value in seen:
                yield str(key.value), key.start_mark.line + 1
            seen.add(key.value)
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated(value)
