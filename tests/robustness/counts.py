"""How much the tests against damage try: little in `make test`, all of it in `make test-full`."""

import os

FULL = os.environ.get("ROBUSTNESS_TESTS") == "full"
IMAGES, MODELS, KILLS = (2000, 1000, 20) if FULL else (60, 40, 2)
