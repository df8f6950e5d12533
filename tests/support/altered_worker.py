"""`python -m worker` with other values for constants: `python -m tests.support.altered_worker MODULE.NAME=NUMBER …`."""

import importlib
import sys

from worker.__main__ import main  # replaces blocking functions, so it comes first

changes = [argument for argument in sys.argv[1:] if "=" in argument]
sys.argv = [argument for argument in sys.argv if argument not in changes]
for argument in changes:
    path, _, number = argument.partition("=")
    module, _, name = path.rpartition(".")
    constants = vars(importlib.import_module(module))
    assert name in constants, path
    constants[name] = float(number)

sys.exit(main())
