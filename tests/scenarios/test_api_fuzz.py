"""Whatever is sent, the API answers as its document says, and never with a fault."""

from pathlib import Path

import pytest
from api_fuzz import fuzz, served


def test_no_fault_and_no_answer_that_the_document_does_not_have(tmp_path: Path) -> None:
    with served(tmp_path) as (url, token):
        seen = fuzz(url, token, 150)
    statuses = {status for _, status in seen}
    # Control: what is right gets through; few cases may hit only names that are there already.
    assert {200, 204, 400, 404} <= statuses
    assert statuses & {201, 409}
    assert 401 not in statuses


@pytest.mark.slow
def test_no_fault_in_twenty_thousand_requests(tmp_path: Path) -> None:
    with served(tmp_path) as (url, token):
        assert fuzz(url, token, 11_000).total() >= 20_000
