"""The object store: moto's S3 in memory, for NDIF inside, and for clients outside on a socket that is passed in.

Results of more than 8 MiB go through it.
"""

from __future__ import annotations

import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from ndif.common.providers.objectstore import ObjectStoreProvider
from werkzeug.serving import make_server


def serve(port: int, handed_in: int) -> None:
    """Serve at a port inside and at a listening socket from outside; does not return."""
    application = DomainDispatcherApplication(create_backend_app)
    servers = [
        make_server("127.0.0.1", port_or_any, application, threaded=True, request_handler=MotoRequestHandler, fd=fd)
        for port_or_any, fd in ((port, None), (0, handed_in))
    ]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    # Otherwise two processes of ndif 0.1.2 may make the bucket at the same time.
    ObjectStoreProvider._ensure_bucket()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
