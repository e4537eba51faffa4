"""PLUG-INS: one drift check a module, each a function `check` and the `Config` it takes."""
