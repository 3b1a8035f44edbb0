"""The page: look at answers, listen, correct them, and put a better checkpoint into service."""
