"""What docs/refused.md says is refused is refused, in one sentence, and it says all of it."""

import importlib.util
import re
from pathlib import Path

import pytest

from ensemble_vs_dropout.checks import InputError

_spec = importlib.util.spec_from_file_location("refusals", Path(__file__).with_name("refusals.py"))
refusals = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(refusals)
ATTEMPTS = [
    pytest.param(attempt, id=f"{attempt.words[:40]}") for attempts in refusals.REFUSALS.values() for attempt in attempts
]


@pytest.mark.slow
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_it_is_refused_in_a_sentence(attempt):
    with pytest.raises(InputError, match=attempt.words) as refusal:
        attempt.run()
    assert "\n" not in str(refusal.value).strip()
    assert len(str(refusal.value)) < 500


def test_the_list_of_the_page_is_this_one():
    page = (Path(__file__).parent.parent / "docs" / "refused.md").read_text()
    section = page.split("## What is refused\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\* (.*?)\n(?=\n|\* )", section, flags=re.MULTILINE | re.DOTALL)
    listed = [re.sub(r"\s+", " ", line).strip() for line in lines]
    assert listed == list(refusals.REFUSALS)
