"""Files for the type checkers alone."""
