"""What aiosched costs, beside rivals, in one run: `nox -s bench`."""
