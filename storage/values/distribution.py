"""The distribution that clfd is installed from. `clfd` itself is another project in the index."""

from __future__ import annotations

DISTRIBUTION = "clfd-daemon"


def installed_version() -> str | None:
    """None where clfd runs from a source tree that was never installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return None
