"""Measurements, which are run by hand: of speed against other programs, and of the classifier against drawn traces."""
