"""Component checks: one implementation for the page's tab, the command line and pytest.

`catalog.CATALOG` lists them without loading anything; `checks.run_checks` runs them on an engine.
"""
