"""What a stranger can do to the page, the command line and the library, tried and counted.

Five suites, a module each: `bad_inputs`, `perimeter`, `caches`, `faults`, `load`. A suite states
its bar and yields cases; `suite` runs them, `record` keeps the result, `page` starts the page.

`python -m tools.robustness SUITE [--short] [--output FILE]` runs one suite,
`python -m tools.robustness report` writes the table of docs/reliability.md.
"""
