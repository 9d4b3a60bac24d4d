"""`python -m cvzoo`."""

import sys

from cvzoo.cli import main

sys.exit(main())
