"""Every row that is published can be verified."""

from __future__ import annotations

import json
import subprocess
import sys

from flowprune.study import project


def test_every_published_experiment_is_known_once_the_package_is_imported():
    files = sorted((project.root() / "data" / "trials").glob("*.jsonl"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    published = {json.loads(line)["experiment"] for line in lines}
    code = "import flowprune.experiments; from flowprune.study.specs import Trial; print(*Trial.known)"
    known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"nodes", "deep"} < published <= set(known.split())
