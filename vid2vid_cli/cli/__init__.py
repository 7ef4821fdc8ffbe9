"""The command line: it parses options, prints results and returns exit codes."""
