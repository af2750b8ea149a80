"""How much the tests against damage try: little in `make test`, all of it in `make test-full`."""

import os

FULL = os.environ.get("ROBUSTNESS_TESTS") == "full"
IMAGES, MODELS = (2000, 1000) if FULL else (60, 40)
KILLS = {"recommended": 2}
if FULL:
    KILLS = dict.fromkeys(("study", "recommended", "search", "evaluation", "export"), 4)
