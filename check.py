#!/usr/bin/env python3
"""Check anybody's answers to the exercises: what is right, what is not, and a hint.

    python check.py PATH            # one answer: a folder with the topic folders, or any of them
    python check.py PATH/TO/MANY    # a folder of answers: one line each

`python check.py --help` tells the rest; how it works stands in checker/.
"""

import seed
from checker.cli import main

if __name__ == "__main__":
    seed.run_script(main)
