"""Certificates of a test run, made with the openssl command."""
import datetime
import pathlib
import subprocess
import uuid

CONFIG = """
[ca]
default_ca = it
[it]
database = {folder}/index.txt
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
rand_serial = yes
unique_subject = no
default_md = sha256
default_days = 30
policy = any
email_in_dn = yes
[any]
countryName = optional
stateOrProvinceName = optional
localityName = optional
organizationName = optional
organizationalUnitName = optional
commonName = optional
emailAddress = optional
"""


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl", *map(str, args)], input=stdin, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(map(str, args))}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def indent(text, by=6):
    return "".join(" " * by + line + "\n" for line in text.splitlines())


class Leaf:
    """A certificate and its key. chain is what a client or server sends: the leaf and the intermediates above it."""

    def __init__(self, folder, name, issuer):
        self.name, self.issuer = name, issuer
        self.cert, self.key, self.chain = (folder / f"{name}{end}" for end in (".pem", ".key", "-chain.pem"))
        self.above = folder / f"{name}-above.pem" # the intermediates; may be empty

    @property
    def pem(self):
        return self.cert.read_text()

    @property
    def key_pem(self):
        return self.key.read_text()

    @property
    def chain_pem(self):
        return self.chain.read_text()


class Authority:
    """A CA: a root, or below another one. Its id is the ca_certificates id that configurations use."""

    def __init__(self, folder, name, issuer=None, subject=None, days=None):
        self.folder, self.name, self.issuer = pathlib.Path(folder) / name, name, issuer
        self.subject = subject or f"/O=Sallyport tests/CN={name}"
        self.id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"sallytest:{name}"))
        self.cert, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        self.folder.mkdir(parents=True)
        (self.folder / "index.txt").touch()
        self.config = self.folder / "openssl.cnf"
        self.config.write_text(CONFIG.format(folder=self.folder))
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        if issuer:
            issuer.sign(self.key, self.subject, extensions, self.cert, days)
        else:
            csr = self._request(self.key, self.subject)
            (self.folder / "self.ext").write_text(extensions)
            openssl("x509", "-req", "-in", csr, "-signkey", self.key, "-days", "30", "-extfile", self.folder / "self.ext",
                    "-out", self.cert)

    @property
    def pem(self):
        return self.cert.read_text()

    def subject_line(self):
        """As s_client prints it among the acceptable CA names."""
        return openssl("x509", "-in", self.cert, "-noout", "-subject").decode().strip().removeprefix("subject=").strip()

    def _request(self, key, subject):
        csr = self.folder / "request.csr"
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", csr)
        return csr

    def sign(self, key, subject, extensions, out, days=None):
        """days: (from, to) relative to now, for certificates of the past, of the future and of a few seconds."""
        csr = self._request(key, subject)
        file = self.folder / "sign.ext"
        file.write_text(extensions)
        when = []
        for option, day in zip(("-startdate", "-enddate"), days or ()):
            at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=day)
            when += [option, at.strftime("%Y%m%d%H%M%SZ")]
        openssl("ca", "-config", self.config, "-batch", "-notext", "-preserveDN", "-in", csr, "-extfile", file, "-out", out, *when)

    def leaf(self, name, subject=None, san=(), usage="clientAuth", days=None, extra=""):
        """subject None: /CN=name. san: "DNS:a.test", "URI:spiffe://...", "email:..." in order."""
        made = Leaf(self.folder, name, self)
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", made.key)
        extensions = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
        if usage:
            extensions += f"extendedKeyUsage={usage}\n"
        if san:
            extensions += f"subjectAltName={','.join(san)}\n"
        self.sign(made.key, subject if subject is not None else f"/CN={name}", extensions + extra, made.cert, days)
        intermediates, issuer = "", self
        while issuer.issuer: # a root is never sent
            intermediates += issuer.pem
            issuer = issuer.issuer
        made.above.write_text(intermediates)
        made.chain.write_text(made.pem + intermediates)
        return made

    def server(self, name, *names):
        return self.leaf(name, f"/CN={names[0]}", [f"DNS:{n}" for n in names], "serverAuth")

    def entity(self):
        return {"id": self.id, "cert": self.pem}


class Pki:
    """Everything the tests present or trust. clients and other are the CAs of configurations; stranger never is."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.servers = Authority(folder, "servers")
        self.clients = Authority(folder, "clients")
        self.other = Authority(folder, "other")
        self.stranger = Authority(folder, "stranger")
        self.middle = Authority(folder, "middle", self.clients)
        self.web = self.servers.server("web", "a.test", "*.a.test", "b.test", "c.test", "localhost")
        self.alice = self.clients.leaf("alice", "/C=CA/ST=ON/O=Sallyport/CN=alice")
        self.bob = self.middle.leaf("bob")
        self.carol = self.other.leaf("carol")
        self.nobody = self.clients.leaf("nobody") # valid, but no consumer of that name
        self.expired = self.clients.leaf("expired", "/CN=alice", days=(-30, -1))
        self.notyet = self.clients.leaf("notyet", "/CN=alice", days=(10, 30))
        self.forged = self.stranger.leaf("forged", "/CN=alice")
        self.for_servers = self.clients.leaf("for-servers", "/CN=alice", usage="serverAuth")
        self.no_usage = self.clients.leaf("no-usage", "/CN=alice", usage=None)
        self.sans = self.clients.leaf("sans", "/CN=alice", ["DNS:sans.test", "email:dave@example.com", "DNS:x.test"])
        self.spiffe = self.clients.leaf("spiffe", "/CN=whatever", ["URI:spiffe://example.org/ns/a/sa/b"])
        self.nameless = self.clients.leaf("nameless", "/O=Sallyport")
