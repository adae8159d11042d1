#!/usr/bin/env python3
"""Check answers to the exercises: show what is right and what is wrong, with hints.

    python check.py PATH            # one answer: a folder of topic folders, or one topic folder
    python check.py PATH/TO/MANY    # a folder of answers: one line for each

`python check.py --help` lists the options; checker/__init__.py says how it works.
"""

import seed
from checker.cli import main

if __name__ == "__main__":
    seed.run_script(main)
