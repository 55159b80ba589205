"""The first name of `commands.main`, for scripts that call `python -m ensemble_vs_dropout.cli`."""

from ensemble_vs_dropout.commands.main import app as app
from ensemble_vs_dropout.commands.main import main as main

if __name__ == "__main__":
    main()
