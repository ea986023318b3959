"""Programs to copy; ``ezcaptcha example`` lists them, ``ezcaptcha example fastapi`` prints one.

Each runs as it is: against the simulated service, where ``ezcaptcha simulate`` has said which
variables to export, or with the key in ``EZCAPTCHA_CLIENT_KEY`` and its own pages instead of
example.com. Each says with ``budget`` what it may cost at most.
"""
