"""The recipe of the bundled `demo` checkpoint: texts, speech, training, export, evaluation.

Not part of the wheel. README.md beside this file has the commands.
"""
