"""Both planes together."""
import yaml

from sallytest import poll
from sallytest.programs import Control, DataPlane, built, cluster_pki, run


class Cluster:
    """A control plane and its data planes in one folder."""

    def __init__(self, folder):
        built("sallyctl"), built("sallyport")
        self.folder, self.nodes = folder, {}
        folder.mkdir(exist_ok=True)
        self.pki = cluster_pki(folder / "pki", "node-1", "node-2")
        self.control = Control(folder / "control", self.pki)

    def start(self):
        self.control.start()
        return self

    def node(self, name="node-1", ready=True, cache=True, pki=None, connected=True, env=None):
        pki = pki or self.pki
        more = ["--control", self.control.cluster, "--cluster-cert", pki / f"{name}.pem", "--cluster-key", pki / f"{name}.key",
                "--cluster-ca", self.pki / "ca.pem"]
        if cache:
            more += ["--cache-dir", self.folder / f"cache-{name}"]
        node = self.nodes[name] = DataPlane(self.folder / name, None, more, name, env)
        node.start(ready)
        if connected: # `apply --wait` waits for the nodes that are connected by then
            poll(lambda: f'"{name}"' in self.control.get("/sallyport/nodes").body, f"{name} is connected")
        return node

    def ctl(self, *args, **kwargs):
        return run("sallyctl", "--url", self.control.url, *args, **kwargs)

    def apply(self, config, *more):
        file = self.folder / "config.yaml"
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        return self.ctl("apply", "-f", file, *more)

    def stop(self):
        wrong = []
        for program in [*self.nodes.values(), self.control]:
            code = program.stop() if program.process else 0
            if code and not program.killed:
                wrong.append(f"{program.name} ended with {code}:\n{program.log[-3000:]}")
        assert not wrong, "\n".join(wrong)
