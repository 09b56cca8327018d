"""One short module a command: parse, call one library function, print the result."""
