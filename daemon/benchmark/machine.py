"""On what a benchmark was made."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from classifier.workers.process import usable_cores


def describe_machine() -> str:
    """`2 cores of AMD EPYC, no GPU, torch 2.7.0`"""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{usable_cores()} cores of {_processor()}, {device}, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
