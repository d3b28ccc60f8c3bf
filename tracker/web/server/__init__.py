"""What stands between a socket and the application: connections, their limits, how a process begins and ends."""
