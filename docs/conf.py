"""The documentation site: Sphinx with MyST and furo. Nothing of duskmatch is imported to build it."""

project = "duskmatch"
author = "The duskmatch developers"
copyright = "The duskmatch developers"

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "duskmatch"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sourcelink = False
