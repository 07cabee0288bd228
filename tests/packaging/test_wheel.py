"""The wheel by itself, as the image installs it: migrations and catalogue inside, nothing of the source tree."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx

from tests.harness.service import NO_TLS, free_port

ROOT = Path(__file__).parents[2]


def built(folder: Path) -> Path:
    """The wheel, unpacked."""
    arguments = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "dist")]
    subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_serves_without_the_source_tree(tmp_path: Path) -> None:
    site = built(tmp_path)
    assert not (site / "tests").exists()
    assert not list(site.rglob("__pycache__"))
    (entry_points,) = site.glob("*.dist-info/entry_points.txt")
    assert "maywe = app.__main__:main" in entry_points.read_text()
    read_only = {name: value for name, value in os.environ.items() if not name.startswith("MAYWE_")}
    environment = {**read_only, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    folder = tmp_path / "data"
    folder.mkdir()
    where = subprocess.run(
        [sys.executable, "-c", "import app; print(app.__file__)"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(site)
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "app", "serve", "--port", address.rpartition(":")[2]]
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert ready(address, process) == {"status": "ready", "missing": []}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert {path.name for path in folder.iterdir()} == {"var"}


def ready(address: str, process: subprocess.Popen[bytes]) -> object:
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{address}/readyz", timeout=5, verify=NO_TLS).json()
        assert process.poll() is None, "the server ended before it was up"
        time.sleep(0.1)
    raise AssertionError("the server did not come up")
