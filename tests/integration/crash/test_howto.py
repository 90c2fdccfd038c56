from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_guide_does_what_it_says(tmp_path):
    text = (ROOT / "docs" / "howto" / "crash-testing.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (promised,) = re.findall(r"It prints `(.*?)`", text)
    file = tmp_path / "guide.py"
    file.write_text(program, encoding="utf-8")
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"import runpy; runpy.run_path({str(file)!r}, run_name='__main__')",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{promised}\n"
