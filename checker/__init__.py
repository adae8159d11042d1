"""The checker behind check.py: a child process observes an answer, the parent judges the facts.

cli.py          the command line: which answers, which exercises, which report
answers.py      finding answers and their files; reading them without running them
exercises.py    the thirteen exercises: number, name, files, explanation
checks.py       every check: what it looks for, its hint, whether it is an error or advice
runner.py       many answers side by side, one child an exercise, a verdict each
sandbox.py      the scratch copy, the child's limits, its end
databases.py    the private server: tables, faults, evidence; proxy.py counts what it sends
judge*.py       parent: from facts and evidence to checks passed and failed
report.py       table, JSON, JUnit XML
probe.py        child: redirects databases, imports the answer's file, observes it
observe*.py     child: calls the answer's functions and records facts; no expected value here
watch_sqlite.py redirect_mysql.py standin_mysql.py    child: the databases it gets instead
"""
