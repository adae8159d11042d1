"""The checker behind check.py: a child process observes an answer, the parent judges the facts.

cli.py            the command line
answers.py        finding answers and their files; sources.py reads these without running them
exercises.py      the thirteen exercises: number, title, files
checks.py         every check: what it looks for, its hint, whether it is an error or advice
runner.py         many answers side by side: for each exercise a child, the evidence, a verdict
sandbox.py        the scratch copy, the child, its limits, its end
databases.py      the private server; proxy.py counts what it sends; users.py: what is in it
evidence.py       what the parent sees for itself while the child runs
judge.py          the verdict; judge_*.py: from facts and evidence to checks; rows.py compares
report.py         terminal, JSON, JUnit XML

probe.py          the child: puts our databases in place, imports the answer's file
observe.py        its steps; observe_*.py: call the answer's functions, no expected value here
watch_sqlite.py, redirect_mysql.py, standin_mysql.py    the databases that the answer gets
"""
