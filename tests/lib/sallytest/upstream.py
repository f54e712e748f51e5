"""Applications behind the proxy: one that says what it got, and one that does what a script says."""
import hashlib
import http.server
import json
import socket
import ssl
import threading

BIG = 1 << 20


class Hold:
    """A request that waits in the upstream until the test lets it go."""

    def __init__(self):
        self.arrived, self.gate = threading.Event(), threading.Event()

    def wait_arrived(self, seconds=20):
        assert self.arrived.wait(seconds), "the request did not reach the upstream"

    def release(self):
        self.gate.set()


class Handler(http.server.BaseHTTPRequestHandler):
    """Any path: a JSON of the request. /status/418, /bytes/1000, /chunked/1000, /trailers, /early, /hold/NAME, /close do more."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.server.opened += 1
        self.number = self.server.opened

    def log_message(self, *args):
        pass

    def read_body(self):
        """The body and its trailers."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0))), []
        body = b""
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            if size == 0:
                break
            body += self.rfile.read(size)
            self.rfile.readline()
        trailers = []
        while (line := self.rfile.readline().strip()):
            name, _, value = line.decode().partition(":")
            trailers.append([name, value.strip()])
        return body, trailers

    def reply(self, status, body, content_type="application/json", chunked=False, headers=(), trailers=()):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not chunked:
            self.wfile.write(body)
            return
        for at in range(0, len(body), 7919):
            piece = body[at:at + 7919]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in trailers) + b"\r\n")

    def any_method(self):
        body, trailers = self.read_body()
        seen = {"method": self.command, "path": self.path, "headers": [[n, v] for n, v in self.headers.items()],
                "trailers": trailers, "length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "version":
                self.request_version, "connection": self.number, "body": body.decode(errors="replace") if len(body) < 4096 else None}
        self.server.seen.append(seen)
        word, _, rest = self.path.partition("?")[0].lstrip("/").partition("/")
        if word == "hold":
            hold = self.server.holds[rest]
            hold.arrived.set()
            hold.gate.wait(60)
        if word == "status":
            self.reply(int(rest), b"", "text/plain")
        elif word == "bytes":
            self.reply(200, pattern(int(rest)), "application/octet-stream")
        elif word == "chunked":
            self.reply(200, pattern(int(rest)), "application/octet-stream", chunked=True)
        elif word == "trailers":
            self.reply(200, b"body", "text/plain", chunked=True, headers=[("Trailer", "X-Sum")], trailers=[("X-Sum", "42")])
        elif word == "early":
            self.send_response_only(103)
            self.send_header("Link", "</style.css>; rel=preload")
            self.end_headers()
            self.reply(200, b"late", "text/plain")
        elif word == "close":
            self.close_connection = True
            self.reply(200, b"bye", "text/plain", headers=[("Connection", "close")])
        else:
            self.reply(200, json.dumps(seen).encode(), headers=[("X-Upstream", "echo"), ("Connection", "keep-alive, X-Hop"),
                                                                ("X-Hop", "never forwarded")])

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = any_method


def pattern(size):
    """Bytes that no shift of them equals."""
    return b"".join(b"%07d\n" % i for i in range(size // 8 + 1))[:size]


class Echo:
    """The echo upstream on a thread of its own. tls: a Leaf; clients: PEM file of a CA that its clients must come from."""

    def __init__(self, tls=None, clients=None):
        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass # a client that goes away is part of the tests

            def finish_request(self, request, client_address):
                if tls: # on the connection's own thread
                    request = context.wrap_socket(request, server_side=True)
                super().finish_request(request, client_address)

        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.chain, tls.key)
            if clients:
                context.load_verify_locations(clients)
                context.verify_mode = ssl.CERT_REQUIRED
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.seen, self.server.holds, self.server.opened = [], {}, 0
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def seen(self):
        return self.server.seen

    @property
    def opened(self):
        """Connections so far."""
        return self.server.opened

    def clear(self):
        self.server.seen.clear()

    def hold(self, name):
        self.server.holds[name] = made = Hold()
        return made

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Scripted:
    """An upstream that answers every connection as serve(connection) does; for answers no decent server gives."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.serve, self.got = serve, []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with connection:
            try:
                self.serve(self, connection)
            except OSError:
                pass

    def read_head(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            got = connection.recv(65536)
            if not got:
                break
            head += got
        self.got.append(head)
        return head

    def stop(self):
        self.listener.close()


def says(answer, close=True):
    """A script: read one request head, answer these bytes."""
    def serve(upstream, connection):
        while upstream.read_head(connection):
            connection.sendall(answer)
            if close:
                return
    return serve
