"""The whole matrix of kong-behaviour 8.1 point 7: what OCSP answers, what the CRL server answers, what each mode makes of it; for
mtls-auth over TLS 1.2 and 1.3 and for header-cert-auth over TLS and without. The responders are openssl's own (`openssl ocsp -port`),
the CRLs are made by `openssl ca -gencrl`; faults are made by tests/lib/sallytest/revocation.py."""
import base64
import concurrent.futures
import http.client
import json
import ssl

import pytest

from sallytest.clients import client_context
from sallytest.config import document, route, service
from sallytest.pki import openssl
from sallytest.programs import Program, free_port, tool
from sallytest.revocation import Authority, Responder, spoil, where

# + passes in IGNORE_CA_ERROR and in STRICT, - in neither, ~ in IGNORE_CA_ERROR only. SKIP always passes.
#   none: the certificate names no such server      unknown: it has never heard of the certificate (a CRL: is of another issuer)
#   slow: it says nothing within http_timeout       badsig: it answers, but one bit of the signature is wrong
MATRIX = """
ocsp \\ crl   none  good  revoked  unknown  slow  500  badsig  garbage
none          ~     +     -        ~        ~     ~    ~       ~
good          +     +     +        +        +     +    +       +
revoked       -     -     -        -        -     -    -       -
unknown       ~     ~     ~        ~        ~     ~    ~       ~
slow          ~     +     -        ~        ~     ~    ~       ~
500           ~     +     -        ~        ~     ~    ~       ~
badsig        ~     ~     ~        ~        ~     ~    ~       ~
garbage       ~     ~     ~        ~        ~     ~    ~       ~
"""
MODES = ("SKIP", "IGNORE_CA_ERROR", "STRICT")
MEANING = {"+": (True, True, True), "-": (True, False, False), "~": (True, True, False)}
MTLS = dict(zip(MODES, ("a.test", "b.test", "c.test")))
HEADER = dict(zip(MODES, ("skip.a.test", "ignore.a.test", "strict.a.test")))


def cells():
    head, *rows = MATRIX.strip().splitlines()
    columns = head.split()[3:]
    for row in rows:
        ocsp, *signs = row.split()
        assert len(signs) == len(columns)
        for crl, sign in zip(columns, signs):
            yield ocsp, crl, MEANING[sign]


class Servers:
    """Of one CA: three openssl responders (all are good, all are revoked, none is known), and the one with the faults."""

    def __init__(self, folder, ca, other):
        self.folder, self.ca, self.ports, self.programs = folder, ca, {}, []
        self.faults = Responder(folder / "faults", ca, other)
        self.urls = {}
        for what in ("good", "revoked", "unknown"):
            self.ports[what] = free_port()
            self.urls["ocsp", what] = f"http://127.0.0.1:{self.ports[what]}"
            self.urls["crl", what] = f"{self.faults.url}/file/{what}.crl"
        for what in ("slow", "500", "garbage"):
            self.urls["ocsp", what], self.urls["crl", what] = f"{self.faults.url}/ocsp/{what}", f"{self.faults.url}/crl/{what}"
        self.faults.server.relays["badsig"] = self.urls["ocsp", "good"]
        self.urls["ocsp", "badsig"], self.urls["crl", "badsig"] = f"{self.faults.url}/relay/badsig", f"{self.faults.url}/file/badsig.crl"

    def start(self, other):
        """After the certificates were issued."""
        lines = (self.ca.folder / "index.txt").read_text().splitlines()
        gone = ["\t".join(["R", cells[1], "260101000000Z", *cells[3:]]) for cells in (line.split("\t") for line in lines)]
        for what, index, ca in (("good", lines, self.ca), ("revoked", gone, self.ca), ("unknown", [], other)):
            database = self.folder / f"{what}.txt"
            database.write_text("".join(line + "\n" for line in index))
            config = self.folder / f"{what}.cnf"
            config.write_text(ca.config.read_text().replace(f"{ca.folder}/index.txt", str(database)))
            openssl("ca", "-config", config, "-gencrl", "-crldays", "1", "-out", self.folder / f"{what}.pem")
            self.faults.server.files[f"{what}.crl"] = openssl("crl", "-in", self.folder / f"{what}.pem", "-outform", "DER")
            program = Program(f"ocsp-{what}", self.folder, [
                tool("openssl"), "ocsp", "-port", self.ports[what], "-index", database, "-CA", self.ca.cert, "-rsigner", self.ca.cert,
                "-rkey", self.ca.key, "-ndays", "1", "-resp_no_certs"]).launch()
            self.programs.append(program)
            program.wait_log("waiting for OCSP client connections")
        self.faults.server.files["badsig.crl"] = spoil(self.faults.server.files["good.crl"])

    def stop(self):
        for program in self.programs:
            program.kill()
        self.faults.stop()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, pki, shared_echo, module_sallyport):
    """The data plane, and a certificate for each cell."""
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "faults").mkdir()
    ca = Authority(folder, "matrix")
    servers = Servers(folder, ca, pki.other)
    leaves = {(ocsp, crl): ca.leaf(f"{ocsp}-{crl}", extra=where(
        [servers.urls["ocsp", ocsp]] if ocsp != "none" else [], [servers.urls["crl", crl]] if crl != "none" else []))
        for ocsp, crl, _ in cells()}
    servers.start(pki.other)
    common = {"ca_certificates": [ca.id], "skip_consumer_lookup": True, "http_timeout": 3000}
    field = {"certificate_header_name": "X-Cert", "certificate_header_format": "base64_encoded", "secure_source": False}
    routes = [route(f"m-{mode}", hosts=[host], snis=[host], protocols=["https"], plugins=[
        {"name": "mtls-auth", "config": {**common, "revocation_check_mode": mode}}]) for mode, host in MTLS.items()]
    routes += [route(f"h-{mode}", hosts=[host], plugins=[
        {"name": "header-cert-auth", "config": {**common, **field, "revocation_check_mode": mode}}]) for mode, host in HEADER.items()]
    proxy = module_sallyport(document(pki, service("app", shared_echo.url, *routes), authorities=[ca]))
    yield proxy, leaves
    servers.stop()


def request(connection, host, **fields):
    connection.request("GET", "/", headers={"Host": host, **fields})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status in (200, 401)
    assert answer.status == 200 or json.loads(body)["message"] == "TLS certificate failed verification"
    return answer.status == 200


class Connection(http.client.HTTPSConnection):
    """To our port, for another name."""

    def __init__(self, port, name, context):
        super().__init__("127.0.0.1", port, timeout=30, context=context)
        self.name, self.tls = name, context

    def connect(self):
        http.client.HTTPConnection.connect(self)
        self.sock = self.tls.wrap_socket(self.sock, server_hostname=self.name)


def by_mtls(version):
    def ask(proxy, mode, leaf):
        context = client_context(leaf)
        context.minimum_version = context.maximum_version = version
        return request(Connection(proxy.port, MTLS[mode], context), MTLS[mode])
    return ask


def by_header(tls):
    def ask(proxy, mode, leaf):
        der = base64.b64encode(ssl.PEM_cert_to_DER_cert(leaf.pem)).decode()
        connection = Connection(proxy.port, HEADER[mode], client_context()) if tls else http.client.HTTPConnection(
            "127.0.0.1", proxy.plain, timeout=30)
        return request(connection, HEADER[mode], **{"X-Cert": der})
    return ask


WAYS = {"mtls-1.2": by_mtls(ssl.TLSVersion.TLSv1_2), "mtls-1.3": by_mtls(ssl.TLSVersion.TLSv1_3), "header-tls": by_header(True),
        "header-plain": by_header(False)}


def test_the_matrix(lab):
    """All cells at once: most of the time goes by with waiting for those who say nothing."""
    proxy, leaves = lab
    asked = [(way, ocsp, crl, mode, meant) for way in WAYS for ocsp, crl, means in cells() for mode, meant in zip(MODES, means)]
    assert len(asked) == 4 * 8 * 8 * 3
    with concurrent.futures.ThreadPoolExecutor(96) as pool:
        answers = list(pool.map(lambda one: WAYS[one[0]](proxy, one[3], leaves[one[1:3]]), asked))
    wrong = [f"{way}: ocsp {ocsp}, crl {crl}, {mode}: {'passes' if passed else 'refused'}"
             for (way, ocsp, crl, mode, meant), passed in zip(asked, answers) if passed != meant]
    assert not wrong, "\n".join(wrong)
    assert "revocation_failed" in proxy.log and "mode=IGNORE_CA_ERROR" in proxy.log and "mode=STRICT" in proxy.log
