"""Studies: hundreds of runs that survive anything.

* `spec`: what a study file says, checked key by key
* `plan`: the runs it comes to, each trained once, and which are trained together
* `store`: where finished runs lie, whole or not at all
* `training`: making the runs of a group; the only part that needs Keras
* `execution`: group by group, in one process or several; `on_ray`: on a cluster
* `estimates`: what it will take, about
* `tables`: what was found, and how far it is
"""

from ensemble_vs_dropout.studies.execution import Report, run_study
from ensemble_vs_dropout.studies.plan import Plan, Run, make_plan
from ensemble_vs_dropout.studies.spec import Settings, Study, parse_study, read_study
from ensemble_vs_dropout.studies.store import Store
from ensemble_vs_dropout.studies.tables import Status, plan_of, results, status

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
