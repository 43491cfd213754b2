"""How a refusal looks over HTTP: status, headers and the JSON body of the error catalogue."""

import math
from typing import Any

from agpd.errors import CATALOGUE, AgpdError
from agpd.gateway.rates import TooMany


def problem(error: AgpdError) -> dict[str, Any]:
    """The body: `code`, `name`, `message` and `remedy`."""
    entry = CATALOGUE[error.code]
    message = f"{entry.meaning} ({error.detail})" if error.detail else entry.meaning
    return {"code": int(error.code), "name": error.code.name, "message": message, "remedy": entry.remedy}


def status_of(error: AgpdError) -> int:
    """The HTTP status."""
    return CATALOGUE[error.code].http


def headers_of(error: AgpdError) -> dict[str, str]:
    """What the status demands: RFC 6750 section 3 for 401, RFC 9110 section 10.2.3 for 429."""
    if status_of(error) == 401:
        return {"www-authenticate": 'Bearer realm="agpd"'}
    if isinstance(error, TooMany):
        return {"retry-after": str(math.ceil(error.wait_s))}
    return {}
