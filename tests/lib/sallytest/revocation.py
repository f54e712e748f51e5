"""A CA's OCSP responder and CRL server. What it does is in the URL: /ocsp/good, /crl/slow, /file/NAME, ... The answers are made by openssl."""
import http.server
import select
import socket
import ssl
import threading
import urllib.request

from sallytest.pki import Authority, openssl
from sallytest.upstream import Hold


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.proxies:
            self.proxy(body)
            return
        kind, what = self.path.lstrip("/").split("/")[:2]
        self.server.hits.append(self.path)
        self.server.requests.append((self.command, dict(self.headers), body))
        if what in self.server.holds:
            hold = self.server.holds[what]
            hold.arrived.set()
            hold.gate.wait(30)
            what = "good"
        if kind == "file":
            self.say(200, self.server.files[what])
        elif kind == "relay":
            self.relay(self.server.relays[what], body)
        elif what == "slow":
            self.server.stopped.wait(30)
        elif what == "500":
            self.say(500, b"sorry")
        elif what == "garbage":
            self.say(200, b"<html>login</html>")
        else:
            self.say(200, self.server.make(kind, what, body))

    do_GET = do_POST = answer

    def say(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def relay(self, url, body):
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/ocsp-request"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            self.say(200, spoil(answer.read()))

    def proxy(self, body):
        """A forward proxy; only what it was asked for is recorded."""
        self.server.hits.append(f"{self.command} {self.path}")
        request = urllib.request.Request(self.path, data=body or None, method=self.command, headers={
            "Content-Type": self.headers.get("Content-Type", "")})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            self.say(answer.status, answer.read())

    def do_CONNECT(self):
        self.server.hits.append(f"CONNECT {self.path}")
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 20) as other:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: other, other: self.connection}
            while True:
                for ready in select.select(list(ends), [], [], 20)[0]:
                    got = ready.recv(65536)
                    if not got:
                        self.close_connection = True
                        return
                    ends[ready].sendall(got)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, proxies, request_queue_size = True, False, 128

    def handle_error(self, request, client_address):
        pass # clients that leave are what is tested


def spoil(answer):
    """One bit of the signature, which stands at the end where no certificates follow it."""
    return answer[:-1] + bytes([answer[-1] ^ 1])


class Responder:
    """tls: a Leaf to serve https with. proxies: a forward proxy instead."""

    def __init__(self, folder, authority=None, other=None, tls=None, proxies=False):
        self.folder, self.authority, self.other = folder, authority, other
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.hits, self.server.requests, self.server.holds, self.server.stopped = [], [], {}, threading.Event()
        self.server.files = {} # by name: what /file/NAME answers
        self.server.relays = {} # by name: the responder that /relay/NAME asks, whose signature is spoilt then
        self.server.make, self.server.proxies = self.make, proxies
        self.lock = threading.Lock()
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.chain, tls.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def hits(self, path):
        return sum(1 for hit in self.server.hits if path in hit)

    def hold(self, what):
        self.server.holds[what] = Hold()
        return self.server.holds[what]

    def make(self, kind, what, request):
        with self.lock:
            return self.ocsp(what, request) if kind == "ocsp" else self.crl(what)

    def ocsp(self, what, request):
        asked, given = self.folder / "request.der", self.folder / "response.der"
        asked.write_bytes(request)
        empty = self.folder / "empty.txt"
        empty.touch()
        ca = self.other if what == "foreign" else self.authority
        index = empty if what == "unknown" else self.authority.folder / "index.txt"
        openssl("ocsp", "-index", index, "-CA", self.authority.cert, "-rsigner", ca.cert, "-rkey", ca.key, "-reqin", asked,
                "-respout", given, "-ndays", "1", "-resp_no_certs")
        answer = given.read_bytes()
        return spoil(answer) if what == "badsig" else answer

    def crl(self, what):
        ca = self.other if what in ("unknown", "foreign") else self.authority
        made = self.folder / "crl.pem"
        openssl("ca", "-config", ca.config, "-gencrl", "-crldays", "1", "-out", made)
        answer = openssl("crl", "-in", made, "-outform", "DER")
        return spoil(answer) if what == "badsig" else answer

    def stop(self):
        self.server.stopped.set()
        for hold in self.server.holds.values():
            hold.release()
        self.server.shutdown()
        self.server.server_close()


def where(ocsp=(), crl=()):
    """Extensions of a certificate that names these URLs."""
    text = ""
    if ocsp:
        text += "authorityInfoAccess=" + ",".join(f"OCSP;URI:{url}" for url in ocsp) + "\n"
    if crl:
        text += "crlDistributionPoints=" + ",".join(f"URI:{url}" for url in crl) + "\n"
    return text


def revoke(authority, leaf):
    openssl("ca", "-config", authority.config, "-revoke", leaf.cert, "-crl_reason", "keyCompromise")


__all__ = ["Authority", "Responder", "revoke", "spoil", "where"]
