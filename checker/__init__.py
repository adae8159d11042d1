"""The checker behind check.py: a child process runs an answer, the parent judges what it did.

cli.py and report.py are the command line and its output; answers.py finds the files, sources.py reads
them without running them. For each exercise (exercises.py, tasks.py, checks.py), runner.py runs a child
(sandbox.py, isolation.py) with a private server (databases.py, proxy.py), evidence.py observes it from
outside, and judge.py and judge_*.py turn facts and evidence into results. start.py and watch.py are for
learners, marks.py and page.py for mentors.

child/ is all that an answer can read of the checker: probe.py redirects databases to ours and imports
the answer's file, observe*.py call its functions without knowing expected values.
"""
