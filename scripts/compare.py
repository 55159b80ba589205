"""Train N networks and one with dropout on the same data, and print which is better, by how much, at what cost.

    python scripts/compare.py --dataset fashion_mnist_10k

takes some minutes on two cores. It prints the answer, quality and cost, and the report's page to open. It is the same
as `evd compare`; `--help` lists the options.
"""

import sys

from ensemble_vs_dropout.commands.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "compare")
    main()
