"""``horizon-widget doctor``: what works on this machine and, if asked, on the NDIF host.

``here`` and ``there`` check this machine and the host, ``finding`` is one line of the report, ``command`` prints it.
"""
