"""Configurations for tests: Kong-style dictionaries with what every one of them needs."""


def mtls_auth(*authorities, **config):
    """The plugin; without revocation, which has tests of its own."""
    return {"name": "mtls-auth", "config": {"ca_certificates": [a.id for a in authorities], "revocation_check_mode": "SKIP", **config}}


def modifier(**fields):
    return {"name": "tls-handshake-modifier", **fields}


def route(name, **fields):
    return {"name": name, **fields}


def service(name, url, *routes, **fields):
    return {"name": name, "url": url, "routes": list(routes), **fields}


def document(pki, *services, consumers=("alice", "bob", "carol"), authorities=None, **more):
    """A whole file: the server certificate for the test names, the CAs, consumers by name (or dictionaries)."""
    return {
        "_format_version": "3.0",
        "certificates": [{"cert": pki.web.chain_pem, "key": pki.web.key_pem,
                          "snis": [{"name": n} for n in ("a.test", "*.a.test", "b.test", "c.test")]}],
        "ca_certificates": [a.entity() for a in (authorities or (pki.clients, pki.other))],
        "consumers": [c if isinstance(c, dict) else {"username": c} for c in consumers],
        "services": list(services),
        **more,
    }
