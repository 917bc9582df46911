"""``python -m jitmlp`` is the ``jitmlp`` command."""

import sys

from jitmlp.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
