"""``python -m tools.record [CHAPTER ...]``, see ``record.main``."""

import sys

from .record import main

sys.exit(main())
