"""Coverage-guided fuzzing of everything that a stranger's octets reach.

python -m tests.fuzz                         # every target, 50,000 inputs each
python -m tests.fuzz mime --runs 1000000

targets.py    the targets: octets in, an invariant each
sessions.py   the target that needs an event loop: IMAP in its four states
seeds/        one file a target, one input a line, as Python writes bytes; findings are kept here
__main__.py   atheris where it runs, mutations of the seeds elsewhere
"""
