"""Planted defects: small changes of the source, each of which some test must notice.

`catalog.toml` lists them, `catalog` reads it, `plant` tries them in a copy of the tree, `record`
keeps the results and writes docs/defects.md. `python -m tools.defects AREA` tries those of an area.
"""
