"""deploy/k8s: the manifests against the Kubernetes schemas (kubeconform) and the "restricted" pod security standard, and
their command lines against what the programs' --help knows. No cluster and no network is needed."""
import copy
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
MANIFESTS = sorted((TOP / "deploy/k8s").glob("*.yaml"))
BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", TOP / "build/dev"))
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def documents():
    return [d for path in MANIFESTS for d in yaml.safe_load_all(path.read_text()) if d]


def workloads():
    return {d["metadata"]["name"]: d["spec"]["template"]["spec"] for d in documents() if "template" in d.get("spec", {})}


def containers(pod):
    return pod.get("initContainers", []) + pod.get("containers", [])


def handlers(container):
    """Every probe and lifecycle hook of a container."""
    found = [container[p] for p in PROBES if p in container]
    return found + list(container.get("lifecycle", {}).values())


def pod_violations(pod):
    """What the restricted standard says of the pod itself."""
    for flag in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(flag):
            yield f"{flag} is set"
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= RESTRICTED_VOLUMES:
            yield f"volume {volume['name']} is of the kind {kinds}"
    if pod.get("securityContext", {}).get("sysctls"):
        yield "sysctls are set"


def container_violations(pod, container):
    """What it says of one container; the pod's security context counts where the container's is silent."""
    own, shared = container.get("securityContext", {}), pod.get("securityContext", {})

    def effective(field):
        return own.get(field, shared.get(field))

    if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if own.get("procMount", "Default") != "Default":
        yield "procMount is not Default"
    if effective("runAsNonRoot") is not True or effective("runAsUser") == 0:
        yield "may run as root"
    if (effective("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "keeps capabilities"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "binds a host port"
    if any(handler.get("httpGet", handler.get("tcpSocket", {})).get("host") for handler in handlers(container)):
        yield "a probe names a host"


def violations(pod):
    found = list(pod_violations(pod))
    for container in containers(pod):
        found += [f"{container['name']} {what}" for what in container_violations(pod, container)]
    return found


def test_there_are_manifests_and_none_names_a_namespace():
    assert {"control-plane.yaml", "application.yaml"} <= {p.name for p in MANIFESTS}
    assert [d["kind"] for d in documents() if "namespace" in d["metadata"]] == []


def schema_folder():
    kubeconform = shutil.which("kubeconform")
    folder = pathlib.Path(kubeconform).parent.parent / "k8s-schemas" if kubeconform else None
    if not folder or not folder.is_dir():
        pytest.skip("kubeconform or its schemas are not there: deploy/install-deps test brings them")
    return kubeconform, folder


@pytest.mark.parametrize("version", ["1.29.0", "1.33.0", "1.37.0"])
def test_the_manifests_follow_the_schemas(version):
    kubeconform, folder = schema_folder()
    location = f"{folder}/v{version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [kubeconform, "-strict", "-summary", "-kubernetes-version", version, "-schema-location", location]
    run = subprocess.run([*command, *map(str, MANIFESTS)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"Valid: {len(documents())}, Invalid: 0, Errors: 0, Skipped: 0" in run.stdout


def test_the_schemas_refuse_a_misspelt_field(tmp_path):
    kubeconform, folder = schema_folder()
    broken = tmp_path / "broken.yaml"
    broken.write_text((TOP / "deploy/k8s/application.yaml").read_text().replace("startupProbe:", "startupProb:"))
    location = f"{folder}/v1.33.0/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    run = subprocess.run([kubeconform, "-strict", "-schema-location", location, str(broken)], capture_output=True, text=True)
    assert run.returncode != 0 and "startupProb" in run.stdout


@pytest.mark.parametrize("name", sorted(workloads()))
def test_pods_pass_the_restricted_standard(name):
    assert violations(workloads()[name]) == []


@pytest.mark.parametrize("change, expected", [
    (lambda pod, c: pod.update(hostNetwork=True), "hostNetwork"),
    (lambda pod, c: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "hostPath"),
    (lambda pod, c: c["securityContext"].pop("allowPrivilegeEscalation"), "privileges"),
    (lambda pod, c: c["securityContext"].update(capabilities={"drop": ["NET_RAW"]}), "capabilities"),
    (lambda pod, c: c["securityContext"]["capabilities"].update(add=["NET_ADMIN"]), "capabilities"),
    (lambda pod, c: c["securityContext"].update(runAsUser=0), "root"),
    (lambda pod, c: pod["securityContext"].update(runAsNonRoot=False), "root"),
    (lambda pod, c: pod["securityContext"].update(seccompProfile={"type": "Unconfined"}), "seccomp"),
    (lambda pod, c: c["ports"].append({"containerPort": 1, "hostPort": 1}), "host port"),
    (lambda pod, c: c["startupProbe"]["httpGet"].update(host="10.0.0.1"), "names a host"),
])
def test_the_check_of_the_standard_sees_each_breach(change, expected):
    pod = copy.deepcopy(workloads()["example-application"])
    change(pod, pod["initContainers"][0])
    assert any(expected in violation for violation in violations(pod)), violations(pod)


@pytest.mark.parametrize("name", sorted(workloads()))
def test_pods_are_bounded_and_write_only_to_volumes(name):
    pod = workloads()[name]
    assert pod["automountServiceAccountToken"] is False
    volumes = {v["name"] for v in pod["volumes"]}
    for container in containers(pod):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
        assert {"requests", "limits"} <= set(container["resources"]), container["name"]
        assert {m["name"] for m in container.get("volumeMounts", [])} <= volumes
        assert not container["image"].endswith(":latest") and ":" in container["image"]


def test_the_sidecar_is_native():
    sidecar = workloads()["example-application"]["initContainers"][0]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/healthz/ready"
    assert sidecar["readinessProbe"]["httpGet"]["path"] == "/healthz/ready"
    assert sidecar["lifecycle"]["preStop"]


def test_the_control_plane_has_one_writer():
    control = next(d for d in documents() if d["kind"] == "Deployment" and d["metadata"]["name"] == "sallyport-control")
    assert control["spec"]["replicas"] == 1 and control["spec"]["strategy"] == {"type": "Recreate"}


def test_ports_and_names_meet():
    """Probes and Services name ports that a container has; Services select labels that a pod template has."""
    found = documents()
    templates = [d["spec"]["template"] for d in found if "template" in d.get("spec", {})]
    for template in templates:
        for container in containers(template["spec"]):
            names = {p["name"] for p in container.get("ports", [])}
            used = {h["httpGet"]["port"] for h in handlers(container) if "httpGet" in h}
            assert used <= names, container["name"]
    for service in (d for d in found if d["kind"] == "Service"):
        selector = service["spec"]["selector"].items()
        chosen = [t for t in templates if selector <= t["metadata"]["labels"].items()]
        assert len(chosen) == 1, service["metadata"]["name"]
        names = {p["name"] for c in containers(chosen[0]["spec"]) for p in c.get("ports", [])}
        assert {p["targetPort"] for p in service["spec"]["ports"]} <= names


def test_only_the_served_ports_are_open_to_the_cluster():
    """What a Service does not offer (status, admin) is closed to other pods by a NetworkPolicy."""
    policies = {d["metadata"]["name"]: d["spec"] for d in documents() if d["kind"] == "NetworkPolicy"}
    for service in (d for d in documents() if d["kind"] == "Service"):
        policy = policies[service["metadata"]["name"]]
        assert policy["podSelector"]["matchLabels"] == service["spec"]["selector"]
        pod = workloads()[service["metadata"]["name"]]
        numbers = {p["name"]: p["containerPort"] for c in containers(pod) for p in c.get("ports", [])}
        opened = {p["port"] for rule in policy["ingress"] for p in rule["ports"]}
        assert opened == {numbers[p["targetPort"]] for p in service["spec"]["ports"]}


def ours():
    """(program, arguments) of every container that runs one of our programs."""
    for pod in workloads().values():
        for container in containers(pod):
            if container["image"].startswith("sallyport:"):
                program = pathlib.Path(container.get("command", ["sallyport"])[0]).name
                yield program, container.get("args", [])


@pytest.mark.parametrize("program, arguments", list(ours()))
def test_the_command_lines_are_known_to_the_programs(program, arguments):
    path = BUILD / program
    if not path.exists():
        pytest.skip(f"{path} is not built")
    known = subprocess.run([path, "--help"], capture_output=True, text=True, check=True).stdout
    flags = {a.split("=", 1)[0] for a in arguments if a.startswith("--")}
    assert flags, "a container without flags"
    assert [f for f in sorted(flags) if not re.search(re.escape(f) + r"(?![\w-])", known)] == []


# --- the command lines of the manifests, run here: folders are mapped to temporary ones, addresses to free loopback ports

def commands_of_the_readme():
    text = (TOP / "deploy/k8s/README.md").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line.strip().startswith(("sallyctl pki", "kubectl create secret"))]


def make_secrets(folder):
    """Runs the README's sallyctl commands in folder and lays its secrets out as their volumes would."""
    for words in commands_of_the_readme():
        if words[0] == "sallyctl":
            subprocess.run([BUILD / "sallyctl", *words[1:]], cwd=folder, check=True, capture_output=True)
            continue
        secret = folder / words[words.index("generic") + 1]
        secret.mkdir()
        for word in words:
            if word.startswith("--from-file="):
                name, path = word[len("--from-file="):].split("=")
                (secret / name).symlink_to(folder / path)


def arguments_here(pod, container, folder, **replaced):
    """The container's arguments with every mounted path under folder/<claim, secret or volume>."""
    volumes = {v["name"]: v for v in pod["volumes"]}
    places = {}
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        here = folder / volume.get("secret", {}).get("secretName", container["name"] + "-" + mount["name"])
        here.mkdir(exist_ok=True)
        places[mount["mountPath"]] = str(here)
    mounted = re.compile("(?<=[=:])(" + "|".join(map(re.escape, places)) + ")(?=/|$)")
    arguments = [mounted.sub(lambda m: places[m.group(1)], a) for a in container["args"]]
    arguments = [re.sub(r"(-?listen)=[\d.]+:\d+$", r"\1=127.0.0.1:0", a) for a in arguments]
    return [a for a in arguments if a.split("=")[0] not in replaced] + [f"{k}={v}" for k, v in replaced.items()]


def wait_until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def status_of(address, path):
    try:
        return urllib.request.urlopen(f"http://{address}{path}", timeout=2).status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def cluster(tmp_path):
    """start(program, arguments): the process and what its ports file says."""
    for program in ("sallyport", "sallyport-control", "sallyctl"):
        if not (BUILD / program).exists():
            pytest.skip(f"{program} is not built")
    make_secrets(tmp_path)
    started = []

    def start(program, arguments):
        ports = tmp_path / f"{program}.json"
        process = subprocess.Popen([BUILD / program, *arguments, f"--ports-file={ports}"], stderr=subprocess.DEVNULL,
                                   env={k: v for k, v in os.environ.items() if k == "PATH" or k.endswith("SAN_OPTIONS")})
        started.append(process)
        wait_until(lambda: ports.exists() or process.poll() is not None)
        assert process.poll() is None, f"{program} has ended with {process.returncode}"
        return process, json.loads(ports.read_text())
    yield start
    for process in started:
        process.kill()
        process.wait()


def test_control_plane_and_sidecar_run_with_these_command_lines(cluster, tmp_path):
    control_pod, pod = workloads()["sallyport-control"], workloads()["example-application"]
    control, ports = cluster("sallyport-control", arguments_here(control_pod, control_pod["containers"][0], tmp_path))
    admin = ports["admin"][0]
    probe = control_pod["containers"][0]["readinessProbe"]["exec"]["command"]
    probe = [BUILD / pathlib.Path(probe[0]).name, "--url", f"http://{admin}", *probe[1:]]
    assert subprocess.run(probe, capture_output=True).returncode == 0

    cluster_port = ports["cluster"].rsplit(":", 1)[1]
    sidecar = pod["initContainers"][0]
    host = next(a for a in sidecar["args"] if a.startswith("--control=")).split("=")[1].split(":")[0]
    arguments = arguments_here(pod, sidecar, tmp_path, **{"--control": f"127.0.0.1:{cluster_port}", "--control-name": host,
                                                          "--drain-delay": 0})
    node, listening = cluster("sallyport", arguments)
    status = listening["status"]
    assert status_of(status, sidecar["livenessProbe"]["httpGet"]["path"]) == 200
    assert status_of(status, sidecar["startupProbe"]["httpGet"]["path"]) == 503  # nothing was applied yet

    config = tmp_path / "gateway.yaml"
    config.write_text("_format_version: '3.0'\nservices:\n- name: app\n  url: http://127.0.0.1:8080\n"
                      "  routes:\n  - name: app\n    hosts: [app.test]\n")
    subprocess.run([BUILD / "sallyctl", "--url", f"http://{admin}", "apply", "-f", config], check=True, capture_output=True)
    wait_until(lambda: status_of(status, sidecar["startupProbe"]["httpGet"]["path"]) == 200)

    node.send_signal(signal.SIGTERM)  # what the preStop hook sends
    assert node.wait(20) == 0
    control.send_signal(signal.SIGTERM)
    assert control.wait(20) == 0
    assert subprocess.run(probe, capture_output=True).returncode != 0
