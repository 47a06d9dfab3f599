"""Telling a person what is wrong with the settings."""


def explain(error: Exception) -> str:
    """One line for a person: which setting is wrong and why."""
    errors = getattr(error, "errors", None)
    if callable(errors):
        return "; ".join(
            f"{e['msg'].removeprefix('Value error, ')}" + (f" ({'.'.join(map(str, e['loc']))})" if e["loc"] else "")
            for e in errors()
        )
    return str(error)
