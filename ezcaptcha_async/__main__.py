"""``python -m ezcaptcha_async``: the command line."""

import sys

from ezcaptcha_async.cli import main

sys.exit(main())
