"""Experiments: studies of hundreds of runs that survive anything, and comparisons, which are studies of one point.

* `comparing`: `compare`, the main job
* `comparison`: what the runs of one point found; `folder`: where a comparison lies; `first_format`: as it lay once
* `ways`: every way to use trained networks of one kind, and what each costs; `memory`: their peak memory
* `settings`: what a study file says, checked key by key
* `plan`: the runs it comes to, each trained once, and which are trained together
* `built`: which finished runs are of the network that the user's code builds now
* `kept`: what the files of finished runs hold; `deploying`: an arm of them as one file
* `store`: where finished runs are kept, whole or not at all
* `running`: making the runs of a group
* `local`: group by group, in one process or several; `ray`: on a cluster
* `estimates`: what it will take, about
* `tables`: what was found, and how far it is
* `gallery`: every figure that saved runs allow
"""

from ensemble_vs_dropout.experiments.local import Report, run_study
from ensemble_vs_dropout.experiments.plan import Plan, Run, make_plan
from ensemble_vs_dropout.experiments.settings import Settings, Study, parse_study, read_study
from ensemble_vs_dropout.experiments.store import Store
from ensemble_vs_dropout.experiments.tables import Status, plan_of, results, status

__all__ = [
    "Plan",
    "Report",
    "Run",
    "Settings",
    "Status",
    "Store",
    "Study",
    "make_plan",
    "parse_study",
    "plan_of",
    "read_study",
    "results",
    "run_study",
    "status",
]
