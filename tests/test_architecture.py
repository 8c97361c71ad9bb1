"""The arrows of the house, checked on the source itself."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"cache", "worker", "service", "featurepack"}

MAY_IMPORT = {
    "cache": {"cache"},
    "worker": {"worker", "cache"},
    "service": {"service", "cache"},
    "featurepack": {"featurepack"},
}
"""Who may import what of ours."""

ONLY_IN = {
    "torch": ("worker/", "featurepack/torch_samples.py"),
    "torchvision": ("worker/",),
    "PIL": ("worker/", "service/thumbnails.py"),
    "openvino": ("worker/engines/",),
    "onnxruntime": ("worker/export/",),
    "simplejpeg": ("worker/pixels/jpeg.py",),
    "sklearn": ("worker/",),
    "h5py": (
        "cache/pack.py",
        "cache/places.py",
        "cache/row_index.py",
        "cache/manifest_file.py",
        "cache/hdf5_arrays.py",
    ),
    "h5grove": ("service/routes/h5.py",),
    "pyarrow": ("service/arrow.py", "featurepack/"),
    "orjson": ("service/encode.py",),
    "prometheus_client": ("service/metrics.py", "service/scrape.py", "service/routes/metrics.py"),
    "opentelemetry": ("cache/tracing.py",),
    "zstandard": ("service/compress.py",),
    "fastapi": ("service/",),
    "starlette": ("service/",),
    "sqlalchemy": (
        "cache/active.py",
        "cache/audit.py",
        "cache/backup/",
        "cache/binding.py",
        "cache/catalogue.py",
        "cache/claims.py",
        "cache/counts.py",
        "cache/database.py",
        "cache/database_url.py",
        "cache/engines.py",
        "cache/eviction.py",
        "cache/health.py",
        "cache/job.py",
        "cache/job_changes.py",
        "cache/jobs.py",
        "cache/keys.py",
        "cache/leases.py",
        "cache/ledger.py",
        "cache/leftovers.py",
        "cache/overview.py",
        "cache/pack_catalogue.py",
        "cache/pack_listing.py",
        "cache/pages.py",
        "cache/publish.py",
        "cache/queries.py",
        "cache/queue_state.py",
        "cache/quotas.py",
        "cache/rates.py",
        "cache/schema.py",
        "cache/shares.py",
        "cache/sight.py",
        "cache/studies.py",
        "cache/tables.py",
        "cache/teams.py",
        "cache/upkeep.py",
        "cache/waiting.py",
        "cache/migrations/",
    ),
    "httpx": ("featurepack/",),
    "rich": ("featurepack/",),
    "xxhash": ("cache/identity.py", "featurepack/local/"),
    "pandas": ("featurepack/",),
}
"""One library, one room."""


def sources() -> list[Path]:
    return [path for room in sorted(OURS) for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    """Top-level names of everything that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    relative = str(path.relative_to(ROOT))
    room = relative.partition("/")[0]
    found = imports(path)
    assert found & OURS <= MAY_IMPORT[room]
    for library, places in ONLY_IN.items():
        assert library not in found or relative.startswith(places), f"{relative}: {library}"


def test_environment_variables_are_read_in_settings_only() -> None:
    set_for_a_library = {"worker/openmp.py"}
    readers = {
        str(path.relative_to(ROOT))
        for path in sources()
        if "environ" in path.read_text() and not str(path).startswith(str(ROOT / "featurepack"))
    }
    assert readers - set_for_a_library == {"service/settings.py", "worker/settings.py"}


def test_the_service_starts_without_torch() -> None:
    import subprocess

    code = (
        "import sys; import service.app; "
        "sys.exit(bool({'torch', 'PIL', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_client_needs_nothing_of_the_server() -> None:
    import subprocess

    code = (
        "import sys; import featurepack, featurepack.cli.main; sys.exit(bool({'cache', 'torch', "
        "'h5py', 'fastapi', 'sqlalchemy', 'service', 'worker'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
