"""`clfd-web.socket` and `.service`: the page under systemd, which comes when somebody asks."""

from __future__ import annotations

import json
import shlex

import pytest
from service_box import HOME, ServiceBox

ADDRESS = "127.0.0.1:18474"  # the box shares this machine's network
OTHER_PORT = f"[Socket]\nListenStream=\nListenStream={ADDRESS}\n"
ASK = """
import http.client, json, sys
method, path, body, token = sys.argv[1:]
connection = http.client.HTTPConnection("{address}", timeout=60)
headers = {{"Authorization": "Bearer " + token}} if token else {{"Origin": "http://{address}"}}
headers["Content-Type"] = "application/json"
connection.request(method, "/api/v1/" + path, body or None, headers)
answer = connection.getresponse()
print(answer.status, answer.read().decode() or "null")
"""


@pytest.fixture
def page(serving: ServiceBox) -> ServiceBox:
    """The socket listens, and nobody has asked."""
    serving.write("/etc/systemd/system/clfd-web.socket.d/port.conf", OTHER_PORT)
    serving.run("systemctl daemon-reload && systemctl start clfd-web.socket")
    return serving


def ask(
    box: ServiceBox, method: str, path: str, body: str = "", token: str = ""
) -> tuple[int, object]:
    words = map(shlex.quote, (ASK.format(address=ADDRESS), method, path, body, token))
    status, _, text = box.says(f"/opt/clfd/bin/python -c {' '.join(words)}").partition(" ")
    return int(status), json.loads(text)


def token_of(box: ServiceBox, user: str = "clfd") -> str:
    return box.says(f"runuser -u {user} -- /opt/clfd/bin/clfd --home {HOME} web --token")


def test_the_page_comes_with_the_first_who_asks(page: ServiceBox) -> None:
    assert page.shows("clfd-web.service", "ActiveState") == "inactive"
    status, found = ask(page, "GET", "status", token=token_of(page))
    assert (status, isinstance(found, dict) and found["running"]) == (200, True)
    assert page.shows("clfd-web.service", "ActiveState") == "active"
    assert ask(page, "GET", "status")[0] == 401


def test_labels_bear_the_name_of_whoever_made_the_link(page: ServiceBox) -> None:
    page.run("id alice || useradd --groups clfd alice")
    link = page.says(f"runuser -u alice -- /opt/clfd/bin/clfd --home {HOME} web --link")
    code = json.dumps({"code": link.partition("#")[2]})
    assert ask(page, "POST", "session", code) == (200, {"author": "alice", "read_only": False})


def test_what_needs_torch_and_the_ledger_works_inside_the_fences(page: ServiceBox) -> None:
    token = token_of(page)
    page.drop("a.wav")
    page.wait_for(1)
    status, listed = ask(page, "GET", "checkpoints", token=token)
    assert (status, isinstance(listed, list) and listed[0]["served"]) == (200, True)
    assert ask(page, "POST", "daemon/pause", token=token)[0] == 200
    page.wait_until(lambda: page.status().get("paused") is True)
    assert ask(page, "POST", "daemon/resume", token=token)[0] == 200


def test_it_writes_labels_and_the_path_unit_trains(page: ServiceBox) -> None:
    narrow = "--epochs 1 --width 2 --mels 16 --clip-seconds 0.5 --sample-rate 8000"
    page.write("/etc/clfd/train.env", f"TRAIN_OPTIONS={narrow}\n")
    page.run("systemctl start clfd-train.path")
    names = [f"{label}-{take}.wav" for label in ("dog", "rain") for take in range(3)]
    page.drop(*names)
    page.wait_for(len(names))
    for name in names:
        page.run(
            f"runuser -u clfd -- /opt/clfd/bin/clfd --home {HOME} labels set -q"
            f" {name} {name.partition('-')[0]} --new"
        )
    token = token_of(page)
    status, started = ask(page, "POST", "trainings", "{}", token)
    assert (status, isinstance(started, dict) and started["id"]) == (202, None)

    def states() -> list[str]:
        found = ask(page, "GET", "trainings", token=token)[1]
        return [one["state"] for one in found["items"]] if isinstance(found, dict) else []

    page.wait_until(lambda: states() == ["done"])


def test_no_network_but_the_socket_that_it_was_given(page: ServiceBox) -> None:
    ask(page, "GET", "status", token=token_of(page))
    pid = page.shows("clfd-web.service", "MainPID")
    networks = {page.says(f"readlink /proc/{one}/ns/net") for one in (1, pid)}
    assert len(networks) == 2
