"""The arms of a comparison, and what tables, figures and sentences call them."""

ARM_LABELS = {
    "single": "single network",
    "ensemble": "ensemble",
    "dropout": "dropout (weight scaling)",
    "mc_dropout": "MC dropout",
    "dropout_ensemble": "dropout ensemble",
    "wide": "wide network",
    "plain": "networks without dropout",
}
EACH = "each"
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
    EACH: "each alone, averaged",
}


def arm_label(arm: str) -> str:
    """Return an arm's name in words; an arm of the user's own keeps its name.

    Example:
        >>> arm_label("mc_dropout")
        'MC dropout'
    """
    return ARM_LABELS.get(arm, arm)


def row_label(arm: str, rule: str, members: int) -> str:
    """Return the words for one row of a table: arm, rule and size, the last two where there is a choice.

    Example:
        >>> row_label("mc_dropout", "majority_vote", 100)
        'MC dropout, majority vote (100)'
    """
    if members == 1:
        return arm_label(arm)
    return f"{arm_label(arm)}, {RULE_LABELS.get(rule, rule)} ({members})"
