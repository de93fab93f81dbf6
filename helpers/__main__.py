"""``python -m helpers COMMAND`` does what the installed ``tensorrt-workbook COMMAND`` does (chapter 00).

The installed command is safe in a stranger's folder: it imports nothing that lies there. ``python -m helpers`` does the
same in the workbook's own folder only. In another one, Python itself looks for ``helpers`` in that folder first, and
runs what it finds, before any line below can prevent it.
"""

import sys

from .search_path import elsewhere

sys.path[:] = elsewhere(sys.path)  # before all other imports; even __future__ would be looked for in that folder

from .commands import program  # noqa: E402

if __name__ == "__main__":
    sys.exit(program())
