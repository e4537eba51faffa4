"""The machine: versions, memory, disk, the home and the ports."""

import importlib.metadata
import os
import shutil
import socket
import sys

import psutil

from flows.doctor.finding import Finding
from infra.processes import is_up, port_owner
from infra.settings import Settings

_MINIMUM_MEMORY_GB = 4.0
_MINIMUM_DISK_GB = 5.0
_PINNED = {
    "sqlalchemy": ("2.0", "2.1", "the scheduler of Prefect 3.8 fails on SQLAlchemy 2.1: schedules never run"),
    "pandas": ("3.0", "3.1", "Evidently 0.7.23 does not import with pandas 3.1"),
    "fastapi": ("0.139", "0.151", "the server of Prefect 3.8 does not import with newer ones"),
    "torch": ("2.13", "2.14", "bundles are compared bit by bit on this release"),
}


def look(settings: Settings) -> list[Finding]:
    """Look at what every home on this machine depends on."""
    return [_python(), *_versions(), _memory(), _disk(settings), _home(settings), *_ports(settings)]


def _python() -> Finding:
    seen = ".".join(map(str, sys.version_info[:3]))
    is_ok = sys.version_info[:2] == (3, 11)
    return Finding("python", is_ok, seen, "" if is_ok else "Use Python 3.11: `make install PYTHON=python3.11`.")


def _versions() -> list[Finding]:
    findings = []
    for name, (lowest, below, reason) in _PINNED.items():
        try:
            seen = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, is_ok=False, seen="not installed", advice="Run `make install`."))
            continue
        is_ok = _numbers(lowest) <= _numbers(seen) < _numbers(below)
        findings.append(Finding(name, is_ok, seen, "" if is_ok else f"Run `make install`: {reason}."))
    return findings


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("+")[0].split(".")[:2])


def _memory() -> Finding:
    seen = psutil.virtual_memory().available / 2**30
    is_ok = seen >= _MINIMUM_MEMORY_GB
    advice = "" if is_ok else f"Free some: the whole stack and a training want {_MINIMUM_MEMORY_GB:.0f} GB."
    return Finding("memory", is_ok, f"{seen:.1f} GB available", advice)


def _disk(settings: Settings) -> Finding:
    seen = shutil.disk_usage(settings.root).free / 2**30
    is_ok = seen >= _MINIMUM_DISK_GB
    advice = "" if is_ok else f"Free some, or move the home with EVERFEED_HOME: {_MINIMUM_DISK_GB:.0f} GB are wanted."
    return Finding("disk", is_ok, f"{seen:.1f} GB free at {settings.root}", advice)


def _home(settings: Settings) -> Finding:
    is_ok = os.access(settings.root, os.W_OK)
    return Finding("home", is_ok, str(settings.root), "" if is_ok else "Make it writable, or set EVERFEED_HOME.")


def _ports(settings: Settings) -> list[Finding]:
    if is_up(settings):
        return []
    ports = {
        "gateway": settings.gateway_port,
        "console": settings.console_port,
        "prefect": settings.prefect_port,
        "mlflow": settings.mlflow_port,
    }
    ports |= {"evidently": settings.evidently_port} if settings.evidently else {}
    return [_port(settings.host, name, port) for name, port in ports.items()]


def _port(host: str, name: str, port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            advice = f"Stop that process, or set EVERFEED_{name.upper()}_PORT."
            return Finding(f"port of {name}", is_ok=False, seen=f"{port} is taken {port_owner(port)}", advice=advice)
    return Finding(f"port of {name}", is_ok=True, seen=f"{port} is free")
