"""One module an analysis: `analyse(scope)` returns its section of the report; adding a file adds a section."""
