"""What runs inside the server's own namespaces, with the Python of the server's environment.

``supervisor`` (the first process: starts the rest, and does to it what a test asks), ``services`` (each service's
command and environment), ``processes`` (finds them), and what is served: ``store``, ``actors``, ``api``. Nothing of
``horizon_widget`` is here, nor can be imported.
"""
