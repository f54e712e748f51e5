"""curl, openssl s_client and raw sockets as clients."""
import json
import os
import re
import socket
import ssl
import subprocess
import tempfile

from sallytest.programs import tool


class Reply:
    """The last answer curl got."""

    def __init__(self, status, version, headers, body, code, errors):
        self.status, self.version, self.headers, self.body, self.code, self.errors = status, version, headers, body, code, errors

    def header(self, name, default=None):
        return self.headers.get(name.lower(), default)

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def json(self):
        return json.loads(self.body)

    def upstream_header(self, name):
        """What the echo upstream got under this name: the values, in order."""
        return [value for n, value in self.json()["headers"] if n.lower() == name.lower()]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r} curl {self.code} {self.errors}>"


def message(reply):
    """Of an answer of ours: its status and its text."""
    return reply.status, reply.json()["message"]


def parse_headers(block):
    lines = block.strip().splitlines()
    first = lines[0].split() if lines else ["", "0"]
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return first[0], int(first[1]) if len(first) > 1 else 0, headers


def curl(url, *options, cert=None, ca=None, resolve=None, http2=None, check=True, seconds=30, stdin=b""):
    """resolve: the port of 127.0.0.1 that every name leads to. cert: a Leaf. ca: what the server is verified with; None: not."""
    command = [tool("curl"), "-sS", "--max-time", str(seconds), "--noproxy", "*"]
    with tempfile.TemporaryDirectory() as folder:
        head, body = os.path.join(folder, "head"), os.path.join(folder, "body")
        command += ["-D", head, "-o", body]
        if resolve:
            command += ["--connect-to", f"::127.0.0.1:{resolve}"]
        if cert:
            command += ["--cert", str(cert.chain), "--key", str(cert.key)]
        command += ["--cacert", str(ca)] if ca else ["-k"]
        if http2 is not None:
            command.append("--http2" if http2 else "--http1.1")
        done = subprocess.run([*command, *map(str, options), url], input=stdin, capture_output=True, env={"PATH": os.environ["PATH"]})
        heads = open(head, encoding="latin-1").read() if os.path.exists(head) else ""
        blocks = [b for b in re.split(r"\r?\n\r?\n", heads) if b.strip()]
        version, status, headers = parse_headers(blocks[-1]) if blocks else ("", 0, {})
        content = open(body, "rb").read() if os.path.exists(body) and "--head" not in options else b"" # there curl repeats the head
    errors = done.stderr.decode(errors="replace")
    if check and done.returncode:
        raise AssertionError(f"curl {url}: exit {done.returncode}: {errors}")
    return Reply(status, version, headers, content, done.returncode, errors)


class Handshake:
    """What openssl s_client saw."""

    def __init__(self, text, code):
        self.text, self.code = text, code
        self.done = bool(re.search(r"^\s*(New|Reused), TLSv1", text, re.M))
        self.resumed = bool(re.search(r"^Reused, ", text, re.M))
        found = re.search(r"^Acceptable client certificate CA names\n(.*?)^(?:Requested|Client Certificate Types|Peer signing|---)", text,
                          re.M | re.S)
        self.ca_names = [line.strip() for line in found.group(1).splitlines() if line.strip()] if found else []
        # 1.2 says the types, both say the signature algorithms that the request carried
        self.asked = bool(found) or "Requested Signature Algorithms" in text or "Client Certificate Types" in text
        subject = re.search(r"^subject=(.*)$", text, re.M)
        self.server = subject.group(1).strip() if subject else None
        alpn = re.search(r"^ALPN protocol: (.*)$", text, re.M)
        self.alpn = alpn.group(1) if alpn else None


def s_client(port, *options, sni=None, cert=None, version=None, send=None, seconds=20):
    """One handshake. send: text that goes through the connection (an HTTP/1 request with Connection: close)."""
    command = [tool("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *map(str, options)]
    command += ["-servername", sni] if sni else ["-noservername"]
    if cert:
        command += ["-cert", cert.cert, "-key", cert.key]
        if cert.above.stat().st_size:
            command += ["-cert_chain", cert.above]
    if version:
        command.append({"1.2": "-tls1_2", "1.3": "-tls1_3"}[version])
    if send:
        command.append("-ign_eof")
    done = subprocess.run([str(part) for part in command], input=(send or "").encode(), capture_output=True, timeout=seconds)
    return Handshake((done.stdout + done.stderr).decode(errors="replace"), done.returncode)


def client_context(cert=None, alpn=None, ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ca:
        context.load_verify_locations(ca)
    if cert:
        context.load_cert_chain(cert.chain, cert.key)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def open_tls(port, sni, cert=None, alpn=None, seconds=20):
    raw = socket.create_connection(("127.0.0.1", port), seconds)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client_context(cert, alpn).wrap_socket(raw, server_hostname=sni)


def read_all(connection):
    """Everything until the other side closes."""
    got = b""
    try:
        while (piece := connection.recv(65536)):
            got += piece
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return got


def exchange(port, request, sni=None, cert=None, seconds=20):
    """Bytes to a listener (TLS if there is an sni), and everything that came back until it closed."""
    if sni:
        with open_tls(port, sni, cert, seconds=seconds) as connection:
            connection.sendall(request)
            return read_all(connection)
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(request)
        return read_all(connection)


class Answer:
    """One HTTP/1 answer read from a connection."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def read_answer(stream, head_only=False):
    """stream: a buffered reader (connection.makefile("rb")). Interim answers (1xx) are answers too."""
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line.decode("latin-1"))
    if not lines:
        raise ConnectionError("closed instead of an answer")
    _, status, headers = parse_headers("".join(lines))
    body = b""
    if head_only or status < 200 or status in (204, 304):
        pass
    elif headers.get("transfer-encoding") == "chunked":
        while (size := int(stream.readline().split(b";")[0], 16)):
            body += stream.read(size)
            stream.readline()
        while stream.readline() not in (b"\r\n", b""):
            pass
    else:
        body = stream.read(int(headers["content-length"])) if "content-length" in headers else stream.read()
    return Answer(status, headers, body)
