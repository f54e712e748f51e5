"""Starting and stopping the programs under test, and the ones they are tested with."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest
import yaml

from sallytest import poll

TOP = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", TOP / "build/dev"))


def built(name):
    """The path of one of our programs, or the test is skipped."""
    path = BUILD / name
    if not path.exists():
        pytest.skip(f"{name} is not built in {BUILD.name}")
    return path


def tool(name):
    """The path of somebody else's program, or the test is skipped."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not path:
        pytest.skip(f"{name} is not installed: deploy/install-deps test brings it")
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Program:
    """One running process. Standard error goes to a file that tests may search."""

    def __init__(self, name, folder, command, env=None):
        self.name, self.folder = name, pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.command = [str(part) for part in command]
        self.env = {**os.environ, **(env or {})}
        self.log_file, self.out_file = self.folder / f"{name}.log", self.folder / f"{name}.out"
        self.process = None
        self.killed = False

    def launch(self):
        self.killed = False
        with open(self.log_file, "ab") as log, open(self.out_file, "ab") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=self.env,
                                            cwd=self.folder, restore_signals=False) # what a test ignores stays ignored
        return self

    @property
    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def out(self):
        return self.out_file.read_text(errors="replace") if self.out_file.exists() else ""

    def running(self):
        return self.process is not None and self.process.poll() is None

    def must_run(self):
        if not self.running():
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log[-3000:]}")

    def wait_log(self, text, count=1, seconds=20):
        def look():
            return self.log.count(text) >= count
        poll(look, lambda: f"{text!r} in the log of {self.name}:\n{self.log[-3000:]}", seconds)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """As a machine that loses power."""
        self.killed = True
        if self.running():
            self.process.kill()
        self.process.wait()

    def stop(self, seconds=20):
        """A graceful end; returns the exit code."""
        if self.process is None:
            return 0
        if self.running():
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not stop in {seconds} s:\n{self.log[-3000:]}") from None


class Http:
    """What urllib gets from one of our own listeners."""

    def __init__(self, status, body):
        self.status, self.body = status, body

    def json(self):
        return json.loads(self.body)


def http_get(url, method="GET", body=None, headers=None, seconds=10):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return Http(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Http(error.code, error.read().decode())


def read_ports(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def port_of(address):
    return int(address.rsplit(":", 1)[1])


class DataPlane(Program):
    """sallyport, db-less (config is a dict or text) or fed by a control plane (more says how)."""

    def __init__(self, folder, config=None, more=(), name="sallyport", env=None):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.ports_file = folder / f"{name}.ports"
        self.config_file = folder / f"{name}.yaml"
        command = [built("sallyport"), "--listen", "127.0.0.1:0", "--listen-plain", "127.0.0.1:0", "--status-listen",
                   "127.0.0.1:0", "--workers", "2", "--access-log", "-", "--drain-delay", "0", "--log-level", "debug",
                   "--ports-file", self.ports_file]
        if config is not None:
            self.write(config)
            command += ["--config", self.config_file]
        super().__init__(name, folder, [*command, *more], env)

    def write(self, config):
        """The next configuration, in place at once: a reader never sees half of it."""
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        fresh = self.config_file.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.config_file)

    def start(self, ready=True):
        self.ports_file.unlink(missing_ok=True)
        self.launch()
        self.wait_ports()
        if ready:
            self.wait_ready()
        return self

    def wait_ports(self):
        def look():
            self.must_run()
            return read_ports(self.ports_file)
        ports = poll(look, lambda: f"the ports file of {self.name}:\n{self.log[-3000:]}")
        self.ports, self.plains = ([port_of(address) for address in ports[key]] for key in ("listen", "listen_plain"))
        self.port, self.plain = self.ports[0], self.plains[0]
        self.status_url = "http://" + ports["status"]

    def status(self, path="/status"):
        return http_get(self.status_url + path)

    def wait_ready(self):
        def look():
            self.must_run()
            try:
                return self.status("/healthz/ready").status == 200
            except OSError:
                return False
        poll(look, lambda: f"{self.name} ready:\n{self.log[-3000:]}")

    def metrics(self):
        """Name with labels -> value."""
        lines = [line for line in self.status("/metrics").body.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def metric(self, name):
        return self.metrics().get(name, 0.0)

    def wait_metric(self, name, enough):
        poll(lambda: enough(self.metric(name)), lambda: f"{name} is {self.metric(name)}")

    def reload(self, config):
        """Writes the file, sends SIGHUP and waits until it is live in every worker, or refused. Whether it is live."""
        before = self.metrics()
        counters = ("sallyport_config_applied_total", "sallyport_config_rejected_total")
        self.write(config)
        self.signal(signal.SIGHUP)

        def look():
            now = self.metrics()
            return [name for name in counters if now[name] > before[name]]
        return poll(look, lambda: f"a reload:\n{self.log[-3000:]}")[0] == counters[0]

    def access(self):
        """The access log so far."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{") and line.endswith("}")]


class Foreign(Program):
    """Somebody else's server on one free port."""

    def start(self):
        self.launch()

        def look():
            self.must_run()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                return False
        poll(look, lambda: f"{self.name} listens: {self.log} {self.errors.read_text() if self.errors.exists() else ''}")
        return self


class Nginx(Foreign):
    """nginx as an upstream or in front of us: the body of its server block is given."""

    def __init__(self, folder, server, tls=None, name="nginx"):
        folder = pathlib.Path(folder) / name
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.errors = free_port(), folder / "error.log"
        self.connections = folder / "access.log"
        temp = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.geteuid() == 0 else ""
        secure = f"ssl_certificate {tls.chain}; ssl_certificate_key {tls.key};" if tls else ""
        (folder / "nginx.conf").write_text(f"""{user} daemon off; worker_processes 1; pid {folder}/pid;
error_log {folder}/error.log; events {{ worker_connections 512; }}
http {{ {temp} log_format c '$connection $connection_requests $request $status'; access_log {self.connections} c;
  client_max_body_size 0; keepalive_requests 100000;
  server {{ listen 127.0.0.1:{self.port} {'ssl' if tls else ''}; {secure} {server} }} }}
""")
        super().__init__(name, folder, [tool("nginx"), "-p", folder, "-c", folder / "nginx.conf"])


STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")


class NginxStream(Foreign):
    """nginx as a balancer that relays bytes: the body of its server block in `stream` is given."""

    def __init__(self, folder, server, name="nginx-stream"):
        if not STREAM_MODULE.exists():
            pytest.skip("nginx has no stream module: deploy/install-deps test brings it")
        folder = pathlib.Path(folder) / name
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.errors = free_port(), folder / "error.log"
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(f"""load_module {STREAM_MODULE}; {user} daemon off; worker_processes 1; pid {folder}/pid;
error_log {self.errors}; events {{ worker_connections 512; }}
stream {{ server {{ listen 127.0.0.1:{self.port}; {server} }} }}
""")
        super().__init__(name, folder, [tool("nginx"), "-p", folder, "-c", folder / "nginx.conf"])


class HAProxy(Foreign):
    """HAProxy in front of us: mode, what follows its `bind ADDRESS`, lines of its frontend, what follows its `server s ADDRESS`."""

    def __init__(self, folder, mode, to, server, bind="", lines=(), name="haproxy"):
        folder = pathlib.Path(folder) / name
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.errors = free_port(), folder / "haproxy.log"
        frontend = "".join(f"  {line}\n" for line in lines)
        (folder / "haproxy.cfg").write_text(f"""global
  maxconn 100
defaults
  mode {mode}
  timeout connect 10s
  timeout client 30s
  timeout server 30s
frontend f
  bind 127.0.0.1:{self.port} {bind}
{frontend}  default_backend b
backend b
  server s 127.0.0.1:{to} {server}
""")
        super().__init__(name, folder, [tool("haproxy"), "-db", "-f", folder / "haproxy.cfg"])

    def stop(self, seconds=20):
        return super().stop(seconds) and 0 # it ends with 143


class Control(Program):
    """sallyport-control with a store in its folder. pki: the folder of `sallyctl pki`."""

    def __init__(self, folder, pki, more=(), name="control", admin=0, cluster=0):
        folder = pathlib.Path(folder)
        self.ports_file = folder / f"{name}.ports"
        self.store = folder / "control.db"
        super().__init__(name, folder, [
            built("sallyport-control"), "--store", f"sqlite:{self.store}", "--admin-listen", f"127.0.0.1:{admin}", "--cluster-listen",
            f"127.0.0.1:{cluster}", "--cluster-cert", pki / "control.pem", "--cluster-key", pki / "control.key", "--cluster-ca",
            pki / "ca.pem", "--ports-file", self.ports_file, *more])

    def start(self):
        self.ports_file.unlink(missing_ok=True)
        self.launch()

        def look():
            self.must_run()
            return read_ports(self.ports_file)
        ports = poll(look, lambda: f"the ports file of {self.name}:\n{self.log[-3000:]}")
        self.url, self.cluster = "http://" + ports["admin"][0], ports["cluster"]
        return self

    def again(self):
        """Started anew on the same ports, so that data planes find it."""
        for option, address in (("--admin-listen", self.url.removeprefix("http://")), ("--cluster-listen", self.cluster)):
            self.command[self.command.index(option) + 1] = address
        return self.start()

    def get(self, path, method="GET", body=None, headers=None):
        return http_get(self.url + path, method, body, headers)

    def nodes(self):
        answer = self.get("/sallyport/nodes").json()
        return answer["data"] if isinstance(answer, dict) else answer


class Said:
    """What a command line program said."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"<exit {self.code}\n{self.out}\n{self.err}>"


def run(program, *args, env=None, cwd=None, stdin="", seconds=60):
    """One of our programs, to its end."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("SALLY") or key == "SALLYPORT_BUILD"}
    return Said(subprocess.run([str(built(program)), *map(str, args)], input=stdin, capture_output=True, text=True, timeout=seconds,
                               env={**own, **(env or {})}, cwd=cwd))


def cluster_pki(folder, *nodes):
    """The cluster's CA, a control plane's certificate and one for each node."""
    assert run("sallyctl", "pki", "init", "--dir", folder).code == 0
    assert run("sallyctl", "pki", "issue", "--dir", folder, "--role", "control", "--name", "control", "--san", "127.0.0.1").code == 0
    for node in nodes:
        assert run("sallyctl", "pki", "issue", "--dir", folder, "--role", "node", "--name", node).code == 0
    return pathlib.Path(folder)
