"""deploy/kubernetes: against the schemas of Kubernetes, each other, and what our processes read and need."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from scenes.containerfile import read
from scenes.deployed import DEPLOY, folder_of, read_by

from control.settings import ControlSettings, OwnerSettings
from sidecar.bootstrap import Bootstrap
from sidecar.settings import SidecarSettings

FOLDER = DEPLOY / "kubernetes"
VERSIONS = ("1.30.0", "1.37.0")  # the oldest with all that is used, and the newest known here
SETTINGS = {"control": ControlSettings, "migrate": OwnerSettings, "sidecar": SidecarSettings}
GENERATED = {"nameplate-envoy"}
Document = dict[str, Any]


def documents(*files: Path) -> list[Document]:
    return [found for file in files for found in yaml.safe_load_all(file.read_text()) if found]


def resources(folder: Path) -> list[Path]:
    """Of a kustomization, all of which must be there."""
    (kustomization,) = documents(folder / "kustomization.yaml")
    files = [folder / name for name in kustomization["resources"]]
    generated = [folder / name for each in kustomization.get("configMapGenerator", []) for name in each["files"]]
    assert all(file.is_file() for file in [*files, *generated])
    return files


ALL = [*resources(FOLDER), *resources(FOLDER / "migrate")]
EXAMPLE = FOLDER / "secrets.example.yaml"


@pytest.fixture(scope="module")
def objects() -> list[Document]:
    return documents(*ALL)


@pytest.fixture(scope="module")
def known(objects: list[Document]) -> Mapping[tuple[str, str], Document]:
    """By kind and name, with those that the operator makes."""
    return {(each["kind"], each["metadata"]["name"]): each for each in [*objects, *documents(EXAMPLE)]}


def pods(objects: list[Document]) -> Iterator[tuple[str, Document]]:
    """What each workload makes: its name, and the pod's template."""
    for each in objects:
        if each["kind"] in {"Deployment", "Job"}:
            yield each["metadata"]["name"], each["spec"]["template"]


def containers(template: Document) -> list[Document]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def container(objects: list[Document], name: str) -> tuple[Document, Document]:
    """With its pod's specification."""
    ((template, found),) = [
        (template["spec"], each)
        for _, template in pods(objects)
        for each in containers(template)
        if each["name"] == name
    ]
    return template, found


def test_every_file_is_used() -> None:
    there = {file for file in FOLDER.rglob("*.yaml") if file.name != "kustomization.yaml"}
    assert there == {*ALL, EXAMPLE, FOLDER / "envoy.yaml"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_allow_it(version: str) -> None:
    """Strictly: an unknown field is one that Kubernetes would silently drop."""
    validate = Path(sys.executable).with_name("kubernetes-validate")
    command = [validate, "--strict", "--quiet", "--kubernetes-version", version, *ALL, EXAMPLE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SETTINGS)
def test_a_process_is_given_all_it_needs_and_nothing_that_it_does_not_read(
    objects: list[Document],
    known: Mapping[tuple[str, str], Document],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of(objects, known, name, tmp_path, monkeypatch)
    for field, value in settings:
        if field.endswith("_file") and value is not None:
            assert Path(value).is_file(), f"{field}: {value} is in no volume"


def settings_of(
    objects: list[Document],
    known: Mapping[tuple[str, str], Document],
    name: str,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    pod, process = container(objects, name)
    environment: dict[str, str] = {}
    for source in process.get("envFrom", []):
        environment |= known["ConfigMap", source["configMapRef"]["name"]]["data"]
    for variable in process.get("env", []):
        environment[variable["name"]] = variable.get("value") or value_from(variable["valueFrom"], known)
    folders = {}
    for mount in process["volumeMounts"]:
        (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
        folders[mount["mountPath"]] = folder_of(path / mount["name"], *files_of(volume, known))
    return read_by(SETTINGS[name], environment, folders, monkeypatch)


def value_from(source: Document, known: Mapping[tuple[str, str], Document]) -> str:
    if "configMapKeyRef" in source:
        reference = source["configMapKeyRef"]
        return str(known["ConfigMap", reference["name"]]["data"][reference["key"]])
    assert source["fieldRef"]["fieldPath"] in {"metadata.name", "spec.nodeName"}
    return "a-name"


def files_of(volume: Document, known: Mapping[tuple[str, str], Document]) -> list[str]:
    """Names of the files in it. Raises KeyError for a Secret or ConfigMap that nobody makes."""
    if "secret" in volume:
        return list(known["Secret", volume["secret"]["secretName"]]["stringData"])
    if "configMap" in volume:
        name = volume["configMap"]["name"]
        return [] if name in GENERATED else list(known["ConfigMap", name]["data"])
    if "projected" in volume:
        return [source["serviceAccountToken"]["path"] for source in volume["projected"]["sources"]]
    return []


def test_pods_are_held_to_the_restricted_profile(
    objects: list[Document], known: Mapping[tuple[str, str], Document]
) -> None:
    """Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (Restricted)."""
    (namespace,) = [each for each in objects if each["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    user = int(read(DEPLOY / "container" / "Containerfile")["control"].last("USER").partition(":")[0])
    for name, template in pods(objects):
        spec = template["spec"]
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"}, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == user, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert ("ServiceAccount", spec["serviceAccountName"]) in known, name
        allowed = {"configMap", "emptyDir", "projected", "secret"}
        assert all(len(volume.keys() & allowed) == 1 for volume in spec["volumes"]), name
        for each in containers(template):
            context = each["securityContext"]
            assert context == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, each["name"]
            assert all("hostPort" not in port for port in each.get("ports", [])), each["name"]
            assert each["resources"]["requests"].keys() == {"cpu", "memory"}, each["name"]
            assert "memory" in each["resources"]["limits"], each["name"]


def test_an_image_has_a_version_and_a_process_that_it_can_run(objects: list[Document]) -> None:
    stages = read(DEPLOY / "container" / "Containerfile")
    for _, template in pods(objects):
        for each in containers(template):
            image, _, tag = each["image"].rpartition(":")
            assert image, f"{each['image']} has no tag"
            assert any(character.isdigit() for character in tag), f"{each['image']} names no version"
            if image.startswith("nameplate-"):
                assert image.removeprefix("nameplate-") in stages
                assert each["args"] == [each["name"]]


def test_labels_match_selectors_and_volumes_match_mounts(objects: list[Document]) -> None:
    templates = dict(pods(objects))
    labelled = [template["metadata"]["labels"] for template in templates.values()]
    for each in objects:
        spec = each.get("spec", {})
        if each["kind"] == "Deployment":
            wanted = spec["selector"]["matchLabels"]
            assert wanted == spec["template"]["metadata"]["labels"]
            pod = spec["template"]["spec"]
            spreads = [spread["labelSelector"]["matchLabels"] for spread in pod["topologySpreadConstraints"]]
            terms = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
            spreads += [term["podAffinityTerm"]["labelSelector"]["matchLabels"] for term in terms]
            assert all(spread == wanted for spread in spreads)
        elif each["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy"}:
            selector = spec.get("podSelector", spec.get("selector"))
            wanted = selector.get("matchLabels", selector) if selector else {}
            assert any(wanted.items() <= labels.items() for labels in labelled), each["metadata"]["name"]
    for name, template in templates.items():
        mounted = {mount["name"] for each in containers(template) for mount in each["volumeMounts"]}
        assert mounted == {volume["name"] for volume in template["spec"]["volumes"]}, name


def test_ports_by_name_are_those_of_the_pods(objects: list[Document]) -> None:
    def names(labels: Document) -> set[str]:
        return {
            port["name"]
            for _, template in pods(objects)
            if labels.items() <= template["metadata"]["labels"].items()
            for each in containers(template)
            for port in each.get("ports", [])
        }

    for each in objects:
        if each["kind"] == "Service":
            assert {port["targetPort"] for port in each["spec"]["ports"]} <= names(each["spec"]["selector"])
        if each["kind"] == "NetworkPolicy":
            labels = each["spec"]["podSelector"].get("matchLabels", {})
            wanted = {port["port"] for rule in each["spec"].get("ingress", []) for port in rule["ports"]}
            assert wanted <= names(labels), each["metadata"]["name"]
    for _, template in pods(objects):
        for each in containers(template):
            own = {port["name"] for port in each.get("ports", [])}
            probes = [each[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in each]
            assert {probe.get("httpGet", probe.get("tcpSocket"))["port"] for probe in probes} <= own


def test_envoy_and_the_sidecar_meet_in_one_pod(
    objects: list[Document], known: Mapping[tuple[str, str], Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, sidecar = container(objects, "sidecar")
    same, envoy = container(objects, "envoy")
    assert pod is same
    assert sidecar["restartPolicy"] == "Always", "it outlives Envoy"
    settings: SidecarSettings = settings_of(objects, known, "sidecar", tmp_path, monkeypatch)
    rendered = Bootstrap("edge", f"{settings.check_address}", f"{settings.xds_address}").render()
    assert (FOLDER / "envoy.yaml").read_text() == rendered
    sockets = {"name": "sockets", "mountPath": "/run/nameplate"}
    assert sockets in sidecar["volumeMounts"]
    assert sockets in envoy["volumeMounts"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "sockets"]
    assert volume["emptyDir"]["medium"] == "Memory"
    ports = {port["name"]: port["containerPort"] for port in envoy["ports"]}
    assert ports == {"http": settings.http_port, "https": settings.https_port}
    assert min(ports.values()) >= 1024, "an ordinary user may not bind the others"
    (admin,) = [port["containerPort"] for port in sidecar["ports"]]
    assert admin == settings.admin_listen.port
    (service,) = [each for each in objects if each["kind"] == "Service" and each["spec"].get("type") == "LoadBalancer"]
    assert {port["port"]: port["targetPort"] for port in service["spec"]["ports"]} == {80: "http", 443: "https"}


def test_a_pod_of_the_edge_ends_in_order(objects: list[Document]) -> None:
    pod, sidecar = container(objects, "sidecar")
    _, envoy = container(objects, "envoy")
    words = sidecar["lifecycle"]["preStop"]["exec"]["command"]
    assert words[:2] == ["/opt/nameplate/bin/nameplate", "drain"]
    drained = int(words[words.index("--seconds") + 1])
    slept = envoy["lifecycle"]["preStop"]["sleep"]["seconds"]
    arguments = envoy["args"]
    assert int(arguments[arguments.index("--drain-time-s") + 1]) < drained < slept
    assert slept + 20 <= pod["terminationGracePeriodSeconds"], "the sidecar drains after Envoy"


def test_nothing_goes_anywhere_unless_it_is_said(objects: list[Document]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "NetworkPolicy"}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, spec in policies.items():
        for rule in spec.get("egress", []):
            assert rule.get("to"), f"{name} lets everything out"
            for block in (to["ipBlock"] for to in rule["to"] if "ipBlock" in to):
                assert any(part.startswith(("169.254.", "fe80:")) for part in block["except"]), "the cloud's metadata"
    open_to_all = [
        (name, port["port"])
        for name, spec in policies.items()
        for rule in spec.get("ingress", [])
        if "from" not in rule
        for port in rule["ports"]
    ]
    assert open_to_all == [("edge", "http"), ("edge", "https")]


def test_only_vault_s_account_is_given_a_right(objects: list[Document]) -> None:
    kinds = [each["kind"] for each in objects]
    assert not {"Role", "ClusterRole", "RoleBinding"} & set(kinds)
    (binding,) = [each for each in objects if each["kind"] == "ClusterRoleBinding"]
    assert binding["roleRef"]["name"] == "system:auth-delegator"
    assert all(not subject["name"].startswith("nameplate") for subject in binding["subjects"])


def test_no_secret_is_applied_by_accident(objects: list[Document]) -> None:
    assert not [each for each in objects if each["kind"] == "Secret"]
    assert {value for each in documents(EXAMPLE) for value in (each.get("stringData") or each["data"]).values()} == {
        "change-me"
    }
