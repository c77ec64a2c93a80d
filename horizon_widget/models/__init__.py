"""Loading, tokenising and tracing language models. Imports torch and nnsight: import it late."""

import os
import sys

# By default GNU OpenMP's threads spin for milliseconds where one waits for another. A map is computed beside a browser
# and other kernels; with the cores shared so, spinning made the demo model's matrix products 2.6 times slower (two
# processes on two cores), and hardly faster with the cores free. It is read when torch is first imported.
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
