"""The checker behind check.py: a child process runs an answer, the parent judges what it did.

cli.py            the command line
answers.py        finds answers and their files; sources.py reads these without running them
imports.py        why an import failed: a missing package, or a fault of the answer
exercises.py      the thirteen exercises: number, title, files
checks.py         every check: what it looks for, its hint, whether it is an error or advice
runner.py         checks in parallel: for each exercise a child, evidence and a verdict
sandbox.py        the scratch copy, the child process, its limits, its end
isolation.py      what a child can read and write: bubblewrap or unshare
databases.py      the private server; proxy.py counts the bytes it sends; users.py makes its rows
evidence.py       what the parent observes while the child runs
judge.py          the verdict; judge_*.py turn facts and evidence into results; rows.py compares
report.py         the output: terminal, JSON, JUnit XML
tasks.py          what each exercise asks for, from the model scripts, and an example
start.py          the folder of --start; own_seed.py is lent to an answer without a seed.py
watch.py          --watch
marks.py          the table of --csv; page.py and page.html make the page of --html

child/            what runs in the child; an answer can read nothing else of the checker
  probe.py        redirects databases to ours, imports the answer's file
  observe.py      its steps; observe_*.py call the answer's functions without knowing expected values
  wanted.py       the names that each exercise asks for; the parent uses them, too
  watch_sqlite.py, redirect_mysql.py    the databases that the answer uses
"""
