"""The first name of `experiments`, for scripts that import from it."""

from ensemble_vs_dropout.experiments import (
    Plan as Plan,
)  # fmt: skip
from ensemble_vs_dropout.experiments import (
    Report as Report,
)
from ensemble_vs_dropout.experiments import (
    Run as Run,
)
from ensemble_vs_dropout.experiments import (
    Settings as Settings,
)
from ensemble_vs_dropout.experiments import (
    Status as Status,
)
from ensemble_vs_dropout.experiments import (
    Store as Store,
)
from ensemble_vs_dropout.experiments import (
    Study as Study,
)
from ensemble_vs_dropout.experiments import (
    make_plan as make_plan,
)
from ensemble_vs_dropout.experiments import (
    parse_study as parse_study,
)
from ensemble_vs_dropout.experiments import (
    plan_of as plan_of,
)
from ensemble_vs_dropout.experiments import (
    read_study as read_study,
)
from ensemble_vs_dropout.experiments import (
    results as results,
)
from ensemble_vs_dropout.experiments import (
    run_study as run_study,
)
from ensemble_vs_dropout.experiments import (
    status as status,
)
