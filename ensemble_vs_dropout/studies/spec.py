"""The first name of `experiments.settings`."""

from ensemble_vs_dropout.experiments.settings import Settings as Settings
from ensemble_vs_dropout.experiments.settings import Study as Study
from ensemble_vs_dropout.experiments.settings import parse_study as parse_study
from ensemble_vs_dropout.experiments.settings import read_study as read_study
