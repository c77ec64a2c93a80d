"""Load, tokenise and trace language models. Imports torch and nnsight, so import it late."""

import os
import sys

# GNU OpenMP's threads spin for milliseconds while they wait, and a browser and other kernels need the same cores.
# Measured on the demo model's matrix products: 2.6 times slower with two processes on two cores, hardly faster with the
# cores free. torch reads the variable when it is first imported.
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
