"""``python -m ezcaptcha_async.cli``."""

import sys

from ezcaptcha_async.cli import main

sys.exit(main())
