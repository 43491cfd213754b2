"""The program in docs/howto/agp-clients.md, taken from the page, under the interpreter that it is for."""

import re
import subprocess
from pathlib import Path

from gateways import Agpd
from wheels import LATEST, python

PAGE = Path(__file__).parents[2] / "docs/howto/agp-clients.md"


def test_the_agent_of_the_page_is_answered(common: Agpd) -> None:
    [code] = re.findall(
        r"^```\{\.python \.fragment\}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    done = subprocess.run(
        [str(python(LATEST)), "-c", code, common.url], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answer: PING\n" in done.stdout
