"""The service as a real process, under load, while something breaks: it keeps what it answered for, once.

Owns faults from outside: kills, stopped databases, cut connections, full disks, damaged files. One oracle
judges all of them (`oracle`); what the service was asked and what it answered is noted by `load`.
"""
