"""A server with the demo model until Control-C: ``make remote-server``, ``python -m tests.remote.server [PORT]``."""

from __future__ import annotations

import signal
import sys

from horizon_widget.models.demo import demo_model_folder
from tests.remote.server.environment import Missing
from tests.remote.server.running import Server, ServerError

KEY = "local"


def main(port: int) -> None:
    """Run the server, and print what to set."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("Starting NDIF (about half a minute)", flush=True)
    with Server([demo_model_folder()], port=port) as server:
        print(f"It is running. In another terminal:\n\n  export NDIF_HOST={server.url}\n  export NDIF_API_KEY={KEY}\n")
        print(f"The model: {demo_model_folder()}\nControl-C ends it.", flush=True)
        signal.pause()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    except (Missing, ServerError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Stopped.")
