"""Local HTTP servers that speak the protocols of the vendors we talk to; scriptable, from tests and from outside."""
