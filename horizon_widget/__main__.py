"""``python -m horizon_widget``: the command line, as ``horizon-widget``."""

import sys

from horizon_widget.doctor.command import main

if __name__ == "__main__":
    sys.exit(main())
