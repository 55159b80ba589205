"""The one registry of recipes and arms: what is trained, how it is used, and what tables and sentences call it.

A recipe is what is trained: networks without dropout, dropout networks. An arm is a way to get predictions from the
networks of one recipe: their average, one of them alone, many passes of one. Every table has one row for each arm and
rule. Whoever adds an arm adds an entry here (`register_arm`), and has it in comparisons, studies, tables and figures.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from ensemble_vs_dropout.checks import InputError, check_known, load_named

EACH = "each"
REFERENCE = "ensemble"  # the arm that worth is measured by, and that a further arm is compared with
RULE_LABELS = {
    "mean": "mean",
    "geometric_mean": "geometric mean",
    "majority_vote": "majority vote",
    "confidence_vote": "confidence-weighted vote",
    "weighted_mean": "weighted mean",
    "weighted_vote": "weighted vote",
    "median": "median",
    "trimmed_mean": "trimmed mean",
    "product": "product",
    "min": "minimum",
    "max": "maximum",
    "mixture": "mixture",
    "moment_matched": "moment-matched",
    "quantile_average": "quantile average",
    "parameter_mean": "parameter mean",
    EACH: "each alone, averaged",
}
# The questions people come with, in their order: two rows of a table each, (arm, rule, arm, rule).
QUESTIONS = (
    ("ensemble", "mean", "mc_dropout", "mean"),
    ("ensemble", "mean", "dropout", EACH),
    ("ensemble", "mean", "single", EACH),
    ("dropout", EACH, "single", EACH),
    ("mc_dropout", "mean", "single", EACH),
    ("mc_dropout", "mean", "dropout", EACH),
    ("ensemble", "mean", "ensemble", "majority_vote"),
    ("dropout_ensemble", "mean", "ensemble", "mean"),
    ("ensemble", "mean", "wide", "mean"),
)
T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """A kind of trained network: how the user's builder becomes one, and how many there are.

    Attributes:
        name: As tables and files have it.
        label: What people call several of them.
        one: What people call one of them.
        judge: The arm whose members, each alone, judge a trial of such networks.
        rate: What the rate of the comparison is multiplied by for them; 0 is no dropout.
        single: Whether there is one network, of the width at which it has about the parameters of all members.
    """

    name: str
    label: str
    one: str
    judge: str
    rate: float = 0.0
    single: bool = False

    @property
    def dropout(self) -> bool:
        """Whether they have dropout."""
        return self.rate > 0


@dataclass(frozen=True)
class Arm:
    """A way to get and use networks.

    Attributes:
        name: As tables and files have it.
        label: What tables and figures call it.
        recipe: The networks it uses, a name in `RECIPES`.
        predictor: "module:function" of `(ensemble, passes, seed)` that returns its predictor; loaded when it predicts.
        grows: What more of it is more of: "networks", "passes", or "" where it is always one.
        combined: Whether it is asked by every rule; else its members' mean is taken.
        alone: Whether each member is judged alone, and the scores averaged over the members.
        own: Whether every network is used by itself, with members of its own, such as passes; the scores are averaged
            over the networks, and the costs are those of one.
        phrase: How a sentence calls it; the label if it is empty, and "the averaged ..." if it grows by networks.
        sized: How a sentence calls `{members}` of them, where there are several.
        one: What it is with one member.
    """

    name: str
    label: str
    recipe: str
    predictor: str
    grows: Literal["networks", "passes", ""] = ""
    combined: bool = False
    alone: bool = False
    own: bool = False
    phrase: str = ""
    sized: str = ""
    one: str = ""

    def rules(self, asked: Sequence[str]) -> tuple[str, ...]:
        """Return the rules that this arm is combined by, of those that are asked for."""
        if self.own:  # members of one network are no networks, each alone
            asked = [rule for rule in asked if rule != EACH] or ["mean"]
        if self.alone or list(asked) == [EACH]:
            return (EACH,)
        return tuple(asked) if self.combined else ("mean",)


RECIPES: dict[str, Recipe] = {}
ARMS: dict[str, Arm] = {}


def register_recipe(recipe: Recipe) -> Recipe:
    """Add a kind of trained network, or raise `InputError` if there is another of that name."""
    if RECIPES.get(recipe.name) == recipe:
        return recipe
    if recipe.name in RECIPES:
        raise InputError(f"recipe must have a name of its own, got {recipe.name!r}, which is there already")
    RECIPES[recipe.name] = recipe
    return recipe


def register_arm(arm: Arm) -> Arm:
    """Add a way to use networks, or raise `InputError` if there is another of that name, or no such recipe."""
    if ARMS.get(arm.name) == arm:
        return arm
    if arm.name in ARMS:
        raise InputError(f"arm must have a name of its own, got {arm.name!r}, which is there already")
    check_known("recipe", arm.recipe, RECIPES)
    ARMS[arm.name] = arm
    return arm


for _recipe in (
    Recipe("plain", "networks without dropout", "network", judge="single"),
    Recipe("dropout", "dropout networks", "dropout network", judge="dropout_ensemble", rate=1.0),
    Recipe("wide", "wide networks", "wide network", judge="wide", single=True),
):
    register_recipe(_recipe)
_PREDICTORS = "ensemble_vs_dropout.experiments.ways"
for _arm in (
    Arm(
        "single", "single network", "plain", f"{_PREDICTORS}:members", alone=True, phrase="a single network",
    ),
    Arm(
        "ensemble", "ensemble", "plain", f"{_PREDICTORS}:members", grows="networks", combined=True,
        one="a single network",
    ),
    Arm(
        "dropout", "dropout (weight scaling)", "dropout", f"{_PREDICTORS}:members", alone=True,
        sized="dropout by weight scaling",
    ),
    Arm(
        "mc_dropout", "MC dropout", "dropout", f"{_PREDICTORS}:monte_carlo", grows="passes", combined=True, own=True,
        sized="{members}-pass MC dropout", one="one pass of MC dropout",
    ),
    Arm(
        "dropout_ensemble", "dropout ensemble", "dropout", f"{_PREDICTORS}:members", grows="networks",
        sized="the ensemble of {members} dropout networks",
        one="dropout (weight scaling)",
    ),
    Arm("wide", "wide network", "wide", f"{_PREDICTORS}:members", phrase="one wide network"),
):  # fmt: skip
    register_arm(_arm)
STANDARD_ARMS = tuple(ARMS)  # those that come with the package


def find_arms(given: Iterable[str | Arm]) -> tuple[Arm, ...]:
    """Return the arms that are meant, in the order of the registry.

    Args:
        given: Names of registered arms; "package.module:NAME" of an `Arm` of the user's own, which is registered by
            this; or arms.

    Raises:
        InputError: No such arm, none at all, one twice, or one whose members nothing predicts.

    Example:
        >>> [arm.name for arm in find_arms(["mc_dropout", "ensemble"])]
        ['ensemble', 'mc_dropout']
    """
    if isinstance(given, str):
        raise InputError(f"arms must be a list of names, got {given!r}")
    found: list[str] = []
    for one in given:
        arm = load_named("arm", one) if isinstance(one, str) and ":" in one else one
        if isinstance(arm, Arm):
            found.append(register_arm(arm).name)
        elif isinstance(arm, str):
            found.append(check_known("arm", arm, ARMS))
        else:
            raise InputError(f"arm {one!r} must be a name or an Arm, got {type(arm).__name__}")
    if not found or len(set(found)) < len(found):
        raise InputError(f"arms must name at least one arm, and each once, got {found}")
    for name in found:
        if ARMS[name].alone and not _twins(ARMS[name]):
            raise InputError(
                f"arm {name!r} judges members alone, so an arm of its recipe and predictor must combine them; register "
                "that too"
            )
    return tuple(arm for arm in ARMS.values() if arm.name in found)


def predicted_for(names: Iterable[str]) -> tuple[str, ...]:
    """Return the arms whose predictions these arms are judged by.

    Example:
        >>> predicted_for(["single", "mc_dropout"])
        ('ensemble', 'mc_dropout')
    """
    wanted = set(names)
    wanted |= {one.name for name in wanted & set(ARMS) for one in _twins(ARMS[name])}
    return tuple(name for name, arm in ARMS.items() if name in wanted and not arm.alone)


def _twins(arm: Arm) -> tuple[Arm, ...]:
    """Return the arms that predict what an arm is judged by, whose members are judged alone."""
    if not arm.alone:
        return ()
    return tuple(one for one in arms_of(arm.recipe) if one.predictor == arm.predictor and not one.alone)


def arms_of(recipe: str) -> tuple[Arm, ...]:
    """Return the arms that use the networks of a recipe.

    Example:
        >>> [arm.name for arm in arms_of("plain")]
        ['single', 'ensemble']
    """
    return tuple(arm for arm in ARMS.values() if arm.recipe == recipe)


def judged(predicted: Mapping[str, T]) -> dict[str, T]:
    """Return what each arm is judged by, in the order of the registry, names that are not in it last.

    An arm whose members are judged alone needs no predictions of its own: those of another arm that uses all networks
    of its recipe are the same.

    Example:
        >>> judged({"mc_dropout": 2, "ensemble": 1})
        {'single': 1, 'ensemble': 1, 'mc_dropout': 2}
    """
    return dict(_judged(predicted))


def _judged(predicted: Mapping[str, T]) -> Iterator[tuple[str, T]]:
    for arm in ARMS.values():
        sources = [*(one.name for one in _twins(arm)), arm.name]  # folders of before have one network of some arms
        found = next((name for name in sources if name in predicted), None)
        if found:
            yield arm.name, predicted[found]
    yield from ((name, value) for name, value in predicted.items() if name not in ARMS)


def arm_label(arm: str) -> str:
    """Return an arm's or a recipe's name in words; one of the user's own keeps its name.

    Example:
        >>> arm_label("mc_dropout")
        'MC dropout'
    """
    known = ARMS.get(arm) or RECIPES.get(arm)
    return known.label if known else arm


def growing(by: str) -> tuple[str, ...]:
    """Return the names of the arms that grow by "networks" or by "passes".

    Example:
        >>> growing("passes")
        ('mc_dropout',)
    """
    return tuple(arm.name for arm in ARMS.values() if arm.grows == by)


def judged_alone() -> tuple[str, ...]:
    """Return the names of the arms whose members are judged one by one.

    Example:
        >>> judged_alone()
        ('single', 'dropout')
    """
    return tuple(arm.name for arm in ARMS.values() if arm.alone)


def rules_of(arm: str, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the rules that an arm is combined by, of those asked for; one that is not registered has its mean.

    Example:
        >>> rules_of("dropout", ["mean", "majority_vote"])
        ('each',)
    """
    return ARMS[arm].rules(asked) if arm in ARMS else ("mean",)


def recipe_label(recipe: str) -> str:
    """Return what people call the networks of a recipe.

    Example:
        >>> recipe_label("dropout")
        'dropout networks'
    """
    return RECIPES[recipe].label if recipe in RECIPES else arm_label(recipe)


def questions(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str, str, str]]:
    """Return the planned questions that rows of a table answer: (arm, rule, arm, rule).

    A registered arm that no standard question is about is compared with the ensemble. An arm that is judged alone, but
    of which there is one network, may have its mean in the place of "each". Of numbers the mixture stands
    in the place of the mean.

    Args:
        rows: Arm and rule of every row.

    Example:
        >>> questions([("dropout", "each"), ("single", "each"), ("mine", "mean")])
        [('dropout', 'each', 'single', 'each')]
    """
    there = set(rows)
    asked = {arm for question in QUESTIONS for arm in question[::2]}
    further = [arm for arm in ARMS if arm not in asked and any(arm == row[0] for row in rows)]
    wanted = [*QUESTIONS, *((arm, EACH if ARMS[arm].alone else "mean", REFERENCE, "mean") for arm in further)]

    def row(arm: str, rule: str) -> tuple[str, str] | None:
        wanted = (rule, "mean", "mixture") if rule == EACH else (rule, "mixture") if rule == "mean" else (rule,)
        return next(((arm, one) for one in wanted if (arm, one) in there), None)

    pairs = [(row(*question[:2]), row(*question[2:])) for question in wanted]
    return [(*a, *b) for a, b in pairs if a and b]


def shared(a: str, b: str) -> bool:
    """Return whether two arms are known to use the same networks: those of one recipe.

    Example:
        >>> shared("dropout", "mc_dropout"), shared("dropout", "ensemble"), shared("mine", "mine")
        (True, False, True)
    """
    return a == b or (a in ARMS and b in ARMS and ARMS[a].recipe == ARMS[b].recipe)


def row_label(arm: str, rule: str, members: int) -> str:
    """Return the words for one row of a table: arm, rule and size, the last two where there is a choice.

    Example:
        >>> row_label("mc_dropout", "majority_vote", 100)
        'MC dropout, majority vote (100)'
    """
    if members == 1:
        return arm_label(arm)
    return f"{arm_label(arm)}, {RULE_LABELS.get(rule, rule)} ({members})"
