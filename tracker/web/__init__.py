"""HTTP: the edge that mail clients reach, and the API that mailers call."""
