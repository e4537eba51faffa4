"""The control room: one page that shows the whole lifecycle, rendered on the server, reading the stores only."""
