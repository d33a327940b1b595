"""`python -m tools.options_table > docs/options.md`"""

from tools.options_table.table import page

if __name__ == "__main__":
    print(page(), end="")
