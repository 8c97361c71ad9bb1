"""The Dockerfile, built and run without Docker: every step of it on a plain Debian.

buildah reads the Dockerfile and runs its steps by chroot on a base that mmdebstrap makes; podman
runs the images. The base gets this machine's package settings and certificates, as a company's has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployment import ROOT, instructions

TOOLS = ("buildah", "podman", "mmdebstrap", "runc")
SETTINGS = {"/etc/pip.conf": "etc/pip.conf", "/etc/uv/uv.toml": "etc/uv/uv.toml"}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
MINUTES = 60

pytestmark = pytest.mark.skipif(
    os.environ.get("FEATUREPACK_TEST_IMAGES") != "1"
    or os.geteuid() != 0
    or not all(map(shutil.which, TOOLS)),
    reason="builds images of gigabytes for 10 minutes: as root, with FEATUREPACK_TEST_IMAGES=1, "
    f"and {', '.join(TOOLS)} from Debian",
)


@dataclass(frozen=True)
class Images:
    """A store of images of the test's own.

    ``FEATUREPACK_TEST_BUILD`` has more options for ``buildah build``.
    """

    folder: Path

    def _run(self, tool: str, *arguments: str, seconds: float = 60 * MINUTES) -> str:
        place = ["--root", f"{self.folder}/root", "--runroot", f"{self.folder}/run"]
        driver = ["--storage-driver", "overlay"]
        runtime = ["--cgroup-manager=cgroupfs", "--runtime", str(shutil.which("runc"))]
        command = [tool, *place, *driver, *(runtime if tool == "podman" else []), *arguments]
        env = os.environ | {"TMPDIR": str(self.folder)}
        ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=env)
        assert ran.returncode == 0, f"{arguments}: {ran.stdout[-3000:]}{ran.stderr[-3000:]}"
        return ran.stdout.strip()

    def podman(self, *arguments: str) -> str:
        return self._run("podman", *arguments, seconds=300)

    def make_base(self, name: str) -> None:
        rootfs = self.folder / "debian"
        subprocess.run(
            ["mmdebstrap", "--variant=minbase", "bookworm", rootfs], check=True, capture_output=True
        )
        certificates = rootfs / "etc/ssl/machine.crt"
        for source, target in SETTINGS.items():
            with suppress(FileNotFoundError):
                (rootfs / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, rootfs / target)
        certificates.parent.mkdir(exist_ok=True)
        shutil.copy(CERTIFICATES, certificates)
        archive = self.folder / "debian.tar"
        subprocess.run(["tar", "-C", rootfs, "-cf", archive, "."], check=True)
        known = [
            part
            for variable in ("SSL_CERT_FILE", "PIP_CERT", "NODE_EXTRA_CA_CERTS")
            for part in ("--change", f"ENV {variable}=/etc/ssl/machine.crt")
        ]
        self.podman("import", *known, str(archive), name)

    def build(self, target: str, *options: str) -> str:
        more = os.environ.get("FEATUREPACK_TEST_BUILD", "").split()
        how = ["--isolation=chroot", "--format=docker", "--layers", "--pull-never", *more]
        tag = f"localhost/featurepack-{target}"
        self._run("buildah", "build", *how, *options, "--target", target, "-t", tag, str(ROOT))
        return tag

    def start(self, tag: str) -> str:
        """A container as hardened as docker-compose.yml has them; its id."""
        limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
        hard = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        return self.podman("run", "-d", "--network=none", *limits, *hard, tag)

    def healthy(self, container: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.podman("healthcheck", "run", container)
            except AssertionError:
                assert time.monotonic() < deadline, self.podman("logs", container)
                time.sleep(1)
            else:
                return

    def end(self, container: str) -> int:
        """As ``docker stop`` does; the exit status of the first process."""
        self.podman("stop", "--time=30", container)
        return int(self.podman("inspect", "--format={{.State.ExitCode}}", container))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    found = Images(tmp_path_factory.mktemp("images"))
    try:
        found.make_base(next(rest.split()[0] for name, rest in instructions() if name == "FROM"))
        yield found
    finally:
        found.podman("rm", "--all", "--force")
        shutil.rmtree(found.folder, ignore_errors=True)


def test_the_service_s_image_serves_without_torch_and_ends(images: Images) -> None:
    container = images.start(images.build("service"))
    images.healthy(container)
    find = "import importlib.util as u; print(*[u.find_spec(n) for n in ('torch', 'sklearn')])"
    assert images.podman("exec", container, "python", "-P", "-c", find) == "None None"
    assert images.podman("exec", container, "id", "-u") == "10001"
    page = "from service.routes.page import STATIC; print((STATIC / 'index.html').is_file())"
    assert images.podman("exec", container, "python", "-P", "-c", page) == "True"
    assert images.end(container) == 0


def test_the_worker_s_image_works_and_ends(images: Images) -> None:
    """With the torch that this machine's package index has: PyTorch's own may be out of reach."""
    container = images.start(images.build("worker", "--build-arg=TORCH_BACKEND="))
    images.healthy(container)
    assert images.podman("exec", container, "id", "-u") == "10001"
    assert images.end(container) == 0
