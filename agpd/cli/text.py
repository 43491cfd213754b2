"""Text from elsewhere on its way to a terminal: nothing in it may control the terminal."""

TEXT_LIMIT = 2000


def printable(text: str, limit: int = TEXT_LIMIT) -> str:
    """One line of at most `limit` characters; line ends, escapes and direction marks become backslash escapes.

    Backslashes stay as they are, for JSON to be copied: what must be exact is read as JSON.
    """
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:limit]
    )
    return shown if len(text) <= limit else f"{shown}... ({len(text)} characters)"
