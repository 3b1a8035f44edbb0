"""Serves the page on this machine alone: sockets, sessions, and what a request may do."""
