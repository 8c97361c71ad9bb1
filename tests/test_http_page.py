"""The page's files: what is sent, how long it is kept, and what stays an API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cache.store import Store
from service.routes import page, reference
from tests.serving import Serving, serving

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
INDEX = '<!doctype html><meta name="csp-nonce" content="__NONCE__"><div id="root"></div>'


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "assets" / "index-1a2b.js").write_text("let a = 1;\n" * 500)
    (folder / "assets" / "photo-1a2b.webp").write_bytes(b"RIFF")
    (folder / "icon.svg").write_text("<svg/>")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(page, "STATIC", folder)
    return folder


@pytest.fixture
def service(store: Store) -> Iterator[Serving]:
    with serving(store) as found:
        yield found


@pytest.mark.usefixtures("static")
@pytest.mark.parametrize("path", ["/", "/packs", "/packs/r-d", "/heads/a/compare/b", "/v1x"])
def test_every_path_of_the_page_is_the_page(service: Serving, path: str) -> None:
    answer = service.http.get(path, headers=BROWSER)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    assert 'id="root"' in answer.text
    head = service.http.head(path, headers=BROWSER)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.usefixtures("static")
def test_the_page_may_load_from_here_alone(service: Serving) -> None:
    answers = [service.http.get("/", headers=BROWSER) for _ in range(2)]
    nonces = []
    for answer in answers:
        policy = dict(
            directive.split(" ", 1)
            for directive in answer.headers["content-security-policy"].split("; ")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        found = re.fullmatch(r"'self' 'nonce-([\w-]{16,})'", policy["style-src"])
        assert found
        assert f'content="{found[1]}"' in answer.text
        nonces.append(found[1])
        assert "unsafe" not in answer.headers["content-security-policy"]
    assert nonces[0] != nonces[1]


@pytest.mark.usefixtures("static")
def test_hashed_files_are_kept_for_good(service: Serving) -> None:
    script = service.http.get("/assets/index-1a2b.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    assert script.headers["content-encoding"] == "gzip"
    assert script.text == "let a = 1;\n" * 500
    assert int(script.headers["content-length"]) < 200
    plain = service.http.get("/assets/index-1a2b.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == script.text
    assert "content-encoding" not in service.http.get("/assets/photo-1a2b.webp").headers
    assert service.http.get("/icon.svg").headers["cache-control"] == "no-cache"


def test_a_new_build_needs_no_restart(service: Serving, static: Path) -> None:
    assert "new" not in service.http.get("/").text
    (static / "index.html").write_text(INDEX + "new")
    assert "new" in service.http.get("/").text


@pytest.mark.usefixtures("static")
@pytest.mark.parametrize(
    "path", ["/assets/gone.js", "/../secret.txt", "/%2e%2e/secret.txt", "/assets/%00.js", "/x.map"]
)
def test_files_that_are_not_there(service: Serving, path: str) -> None:
    answer = service.http.get(path, headers=BROWSER)
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.txt", "")


@pytest.mark.usefixtures("static")
def test_calls_stay_calls(service: Serving) -> None:
    for path in ("/v1/nothing", "/v1", "/h5/nope/meta/", "/healthz/x"):
        answer = service.http.get(path, headers=BROWSER)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"
    assert service.http.get("/v1/heads/x/predict", headers=BROWSER).status_code == 405
    assert service.http.post("/packs", headers=BROWSER).status_code == 405
    assert service.http.get("/nowhere").status_code == 404, "a program, not a browser"
    assert "swagger" in service.http.get("/docs", headers=BROWSER).text
    assert service.get("/healthz") == {"status": "alive"}
    paths = service.get("/openapi.json")["paths"]
    assert "/v1/overview" in paths
    assert not [path for path in paths if "page" in path]


def test_the_reference_fetches_nothing_from_elsewhere(service: Serving) -> None:
    page_text = service.http.get("/docs", headers=BROWSER).text
    links = re.findall(r'(?:src|href)="([^"]+)"', page_text)
    assert sorted(links) == sorted(f"/docs/{name}" for name in reference.FILES)
    for link in links:
        answer = service.http.get(link)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) > 1000
    service.get("/docs/other.js", 404)
    assert service.http.get("/redoc").status_code == 404


def test_without_a_build_it_says_how_to_make_one(
    service: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "STATIC", tmp_path / "nothing")
    answer = service.http.get("/", headers=BROWSER)
    assert answer.status_code == 200
    assert "make dashboard" in answer.text
    assert "/docs" in answer.text
