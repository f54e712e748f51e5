"""Configurations for tests: Kong-style dictionaries with what every one of them needs."""


def plugin(kind, /, **config):
    return {"name": kind, "config": config}


def mtls_auth(*authorities, **config):
    """Without revocation, which has tests of its own; so is the next."""
    return plugin("mtls-auth", **{"ca_certificates": [a.id for a in authorities], "revocation_check_mode": "SKIP", **config})


def header_cert_auth(*authorities, form="base64_encoded", **config):
    return plugin("header-cert-auth", **{
        "ca_certificates": [a.id for a in authorities], "revocation_check_mode": "SKIP", "certificate_header_name": "X-Forwarded-Cert",
        "certificate_header_format": form, **config})


def modifier(**fields):
    return {"name": "tls-handshake-modifier", **fields}


def route(name, **fields):
    return {"name": name, **fields}


def service(name, url, *routes, **fields):
    return {"name": name, "url": url, "routes": list(routes), **fields}


def app(echo, *plugins, **fields):
    """One service with one route, for a.test."""
    return service("app", echo.url, route("r", hosts=["a.test"], plugins=list(plugins), **fields))


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
