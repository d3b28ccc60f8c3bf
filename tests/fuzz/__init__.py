"""Coverage-guided fuzzing. Not collected with the tests: it runs until it is stopped."""
