"""Groups of verbs, one a module: each is a Typer app whose heavy imports wait until its command runs."""
