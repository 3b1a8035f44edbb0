from __future__ import annotations

from daemon.component import Component, merged_status


class Model(Component):
    def status(self) -> dict[str, object]:
        return {"checkpoint": "a"}

    def figures(self) -> dict[str, object]:
        return {"swaps": 1}

    def faults(self) -> list[str]:
        return ["refused"]


class Scorer(Component):
    def status(self) -> dict[str, object]:
        return {"in_flight": 2}

    def figures(self) -> dict[str, object]:
        return {"finished": 3}


def test_the_status_is_that_of_all_components() -> None:
    assert merged_status([Model(), Scorer(), Component()]) == {
        "checkpoint": "a",
        "in_flight": 2,
        "figures": {"swaps": 1, "finished": 3},
        "faults": ["refused"],
    }
