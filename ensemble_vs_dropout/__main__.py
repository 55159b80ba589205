"""`python -m ensemble_vs_dropout` is the command `evd`."""

from ensemble_vs_dropout.commands.main import main

if __name__ == "__main__":
    main()
