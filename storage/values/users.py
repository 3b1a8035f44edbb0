"""Users of this machine by name."""

from __future__ import annotations

import os
import pwd


def current_user() -> str:
    return user_name(os.geteuid())


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
