"""What a request must not be able to do, whoever sends it: every route, with every parameter."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from page_client import HOST, page_of
from starlette.testclient import TestClient

from storage.home.paths import Home
from storage.ledger.ledger import Ledger
from web.page_app import STATIC
from web.server.guard import COOKIE, HEADERS, MAX_BODY_BYTES, SAFE_METHODS
from web.server.sessions import Sessions

API = "/api/v1"
STATUS, PAUSE = f"{API}/status", f"{API}/daemon/pause"
OWN = f"http://{HOST}"
BEGINS_SESSION = f"{API}/session"
NUMBERS = ("-1", "-9223372036854775809", "1e999", "nan", "", "9" * 400)
HOSTILE = (
    *(*NUMBERS, "../../../../etc/passwd", "..%2f..%2fclfd.db", "a\0b", "x" * 10_000),
    *("--help", "' OR 1=1 --"),
    "<script>alert(1)</script>\u202e\U0001f987",
)

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture
def page(home: Home, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Commands that it starts get their words, and fail."""
    monkeypatch.setattr(
        "web.server.clfd_process.command", lambda _, words: ["/bin/false", *map(str, words)]
    )
    with page_of(home) as client:
        yield client


@pytest.fixture
def browser(home: Home, ledger: Ledger) -> Iterator[TestClient]:
    """Signed in by a cookie, which a browser sends by itself."""
    with page_of(home, author=None) as client:
        client.cookies.set(COOKIE, Sessions(home).new_session("ada")[0])
        yield client


def specification(page: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = page.get(f"{API}/openapi.json").json()
    return found


def operations(page: TestClient) -> Iterator[Operation]:
    for path, methods in specification(page)["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def sample(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """A value that fits, more or less."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    schema = schema.get("anyOf", [schema])[0]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "array":
            return [sample(schema.get("items", {}), schemas)]
        case "object":
            return {
                name: sample(one, schemas) for name, one in schema.get("properties", {}).items()
            }
    return "x"


def is_answered(answer: Any) -> bool:
    """It may be refused, and never by a fault; nothing of the machine is in it."""
    assert answer.status_code < 500 or answer.status_code == 503, answer.request.url
    assert "root:" not in answer.text
    return all(name in answer.headers for name in HEADERS)


def test_no_parameter_of_any_route_makes_a_fault(page: TestClient) -> None:
    schemas = specification(page)["components"]["schemas"]
    for method, path, operation in operations(page):
        parameters = operation.get("parameters", [])
        query = {p["name"]: sample(p["schema"], schemas) for p in parameters if p.get("required")}
        for parameter in parameters:
            name, kind = parameter["name"], parameter["schema"].get("type")
            for value in NUMBERS if kind in ("integer", "number", "boolean") else HOSTILE:
                place = path.replace(f"{{{name}}}", quote(value, safe=""))
                asked = query | ({name: value} if parameter["in"] == "query" else {})
                assert is_answered(page.request(method, place, params=asked)), (place, name)


def test_no_value_in_any_body_makes_a_fault(page: TestClient) -> None:
    schemas = specification(page)["components"]["schemas"]
    for method, path, operation in operations(page):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            continue
        whole = sample(content["application/json"]["schema"], schemas)
        bodies = [
            {**whole, name: [value, [value]][n]}
            for name in whole
            for value in HOSTILE
            for n in (0, 1)
        ]
        texts = [*map(json.dumps, bodies), "", "[", "null", "[" * 10_000, '{"path": "\\ud800"}']
        for text in texts:
            headers = {"Content-Type": "application/json"}
            answer = page.request(method, path, content=text, headers=headers)
            assert is_answered(answer), (path, text[:200])


def test_every_answer_bears_the_headers(page: TestClient) -> None:
    paths = ("/", "/static/main.js", "/static/missing.js", "/static/..%2fpage_app.py", STATUS)
    for path in (*paths, f"{API}/missing", f"{API}/recordings?limit=x", "/live"):
        answer = page.get(path)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, path


def test_no_path_leads_out_of_the_static_files(page: TestClient) -> None:
    for path in ("/static/../page_app.py", "/static/%2e%2e/page_app.py", "/static//etc/passwd"):
        assert "import" not in page.get(path).text
        assert "root:" not in page.get(path).text


@pytest.mark.parametrize(
    "host", ["evil.example", f"{HOST}:99", f"{HOST}.evil.example", "", "127.0.0.1", f"{HOST}@evil"]
)
def test_under_another_name_nothing_is_answered(page: TestClient, host: str) -> None:
    for path in ("/", "/static/main.js", STATUS):
        assert page.get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": OWN},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": f"{OWN}.evil.example"},
        {},
    ],
)
def test_another_site_changes_nothing(
    browser: TestClient, home: Home, headers: dict[str, str]
) -> None:
    assert browser.post(PAUSE, headers=headers).status_code == 403
    assert browser.delete(f"{API}/session/me", headers=headers).status_code == 403
    assert not home.pause_file.exists()


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": OWN}])
def test_the_page_itself_may(
    browser: TestClient, headers: dict[str, str], commands: object
) -> None:
    assert browser.post(PAUSE, headers=headers).status_code == 200


@pytest.mark.parametrize("secret", ["", "x", "../links", "a\x7f", "é", "%00", "A" * 4000])
def test_a_foreign_cookie_is_nobody(home: Home, ledger: Ledger, secret: str) -> None:
    with page_of(home, author=None) as page:
        answer = page.get(STATUS, headers={"Cookie": f"{COOKIE}={secret}".encode("latin-1")})
        assert answer.status_code == 401


def test_a_stranger_reaches_no_route(home: Home, ledger: Ledger, page: TestClient) -> None:
    with page_of(home, author=None) as stranger:
        answers = {
            path: stranger.request(method, path).status_code
            for method, path, _ in operations(page)
            if path != BEGINS_SESSION
        }
    assert set(answers.values()) == {401, 403}  # what changes anything asks first whence it comes


def test_a_link_that_was_used_begins_nothing(home: Home, ledger: Ledger) -> None:
    code, own = Sessions(home).new_link(), {"Sec-Fetch-Site": "same-origin"}
    with page_of(home, author=None) as page:
        answers = [
            page.post(BEGINS_SESSION, json={"code": one}, headers=own).status_code
            for one in (code, code, "", "x" * 300, "../sessions")
        ]
        assert answers == [200, 403, 403, 422, 403]
        assert page.get(STATUS).status_code == 200


def test_a_cookie_is_kept_from_scripts_and_other_sites(home: Home, ledger: Ledger) -> None:
    with page_of(home, author=None) as page:
        begun = page.post(
            BEGINS_SESSION, json={"code": Sessions(home).new_link()}, headers={"Origin": OWN}
        )
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(begun.headers["set-cookie"].split("; "))


def test_a_page_that_only_shows_has_no_route_that_changes(home: Home, ledger: Ledger) -> None:
    with page_of(home, read_only=True) as page:
        found = {path for method, path, _ in operations(page) if method not in SAFE_METHODS}
    assert found == {BEGINS_SESSION, f"{API}/session/me"}


@pytest.mark.parametrize("is_told", [True, False])
def test_a_body_over_the_limit_is_refused(page: TestClient, is_told: bool) -> None:
    headers = {"Content-Length": str(MAX_BODY_BYTES + 1)} if is_told else {}
    content = b"" if is_told else (bytes(2**16) for _ in range(17))
    answer = page.post(f"{API}/labels", content=content, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 5000, "٣"])
def test_a_length_that_is_none_is_refused(page: TestClient, length: str) -> None:
    headers = {"Content-Length": length.encode()}
    assert page.post(f"{API}/labels", content=b"", headers=headers).status_code in (413, 422)


def test_no_other_site_may_read_or_frame_an_answer(page: TestClient) -> None:
    answer = page.get(STATUS, headers={"Origin": "http://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert page.options(STATUS, headers={"Origin": "http://evil.example"}).status_code == 405


def test_two_hundred_tabs_cost_little(page: TestClient) -> None:
    page.get(STATUS)
    began = time.process_time()
    assert {page.get(STATUS).status_code for _ in range(200)} == {200}
    assert (time.process_time() - began) / 200 < 0.02  # of which the test's client takes most


def test_no_script_of_the_page_writes_html() -> None:
    scripts = [file for file in STATIC.rglob("*.js") if file.parent.name != "lib"]
    words = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
    texts = {file.name: file.read_text(encoding="utf-8") for file in scripts}
    assert [name for name, text in texts.items() if any(word in text for word in words)] == []


def test_a_cookie_is_found_behind_one_of_another_program(home: Home, ledger: Ledger) -> None:
    secret = Sessions(home).new_session("ada")[0]
    cookies = f'theirs={{"a": 1}}; {COOKIE}={secret}'
    with page_of(home, author=None) as client:
        answer = client.get("/api/v1/session/me", headers={"Cookie": cookies})
    assert answer.status_code == 200
