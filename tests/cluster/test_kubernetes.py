"""Manifests for Kubernetes: golden, where values arrive, what is refused, and that nothing has more rights than it needs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.kubernetes import LARGEST_MAP, kubernetes
from sweeper.errors import InputError
from sweeper.submission import Submission
from tests.cluster.kit import STUDY, assert_golden, job_in

IMAGE = "registry.example.org/sweeper:0.1.0"

SMALL: dict[str, Any] = {"image": IMAGE}
LARGE: dict[str, Any] = {
    "image": IMAGE,
    "workers": 2,
    "max_workers": 8,
    "cpus": 8,
    "memory_gib": 32,
    "gpus": 1,
    "claim": "lab",
    "claim_path": "/mnt/lab",
    "secret": "bucket",
    "service_account": "sweeper",
    "nodes": ("cloud.google.com/gke-accelerator=nvidia-l4",),
    "head_nodes": ("pool=stable",),
    "tolerations": ("spot=true:NoSchedule", "lab:NoExecute"),
    "namespace": "lab",
    "operator_namespace": "kuberay",
    "context": "lab cluster",
}


def small(folder: Path, **options: Any) -> Submission:
    return kubernetes(job_in(folder, results="s3://bucket/results"), **SMALL | options)


def large(folder: Path, **options: Any) -> Submission:
    code = folder / "code"
    (code / "architectures").mkdir(parents=True, exist_ok=True)
    (code / "architectures" / "mine.py").write_text("def mine(input_shape, num_classes):\n    return '\"\\t: %%{x} \U0001f642'\n")
    return kubernetes(job_in(folder, code=str(code), arguments=("--max-concurrent", "4"), gpus_per_trial=0.5), **LARGE | options)


def documents(submission: Submission) -> dict[str, dict[str, Any]]:
    """Every object, by its kind."""
    found = [json.loads(submission.files["configmap.json"]), *yaml.safe_load_all(submission.files["kubernetes.yaml"])]
    return {one["kind"]: one for one in found}


def pods(rayjob: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The templates of the pods of a RayJob."""
    cluster = rayjob["spec"]["rayClusterSpec"]
    [workers] = cluster["workerGroupSpecs"]
    return {
        "submitter": rayjob["spec"]["submitterPodTemplate"],
        "head": cluster["headGroupSpec"]["template"],
        "worker": workers["template"],
    }


@pytest.mark.parametrize("make", [small, large])
def test_golden(make: Any, tmp_path: Path) -> None:
    for name, text in make(tmp_path).files.items():
        stem, ending = name.split(".")
        assert_golden(f"{stem}-{make.__name__}.{ending}", text, tmp_path)


def test_values_arrive(tmp_path: Path) -> None:
    submission = large(tmp_path)
    found = documents(submission)
    spec = found["RayJob"]["spec"]
    assert spec["entrypoint"].split() == [
        *("python", "-m", "cluster._grow", "--workers", "8", "--cpus", "8", "--gpus", "1"),
        *("sweeper", "launch", "/sweeper/job/study.yaml", "--results", "/mnt/lab/results", "--cluster", "attach"),
        *("--code", "/sweeper/job/code", "--max-concurrent", "4"),
    ]
    data = found["ConfigMap"]["data"]
    assert data["study.yaml"] == STUDY and data["code-0.py"] == (tmp_path / "code" / "architectures" / "mine.py").read_text()
    head, worker = (pods(found["RayJob"])[name]["spec"] for name in ("head", "worker"))
    [job] = [volume["configMap"] for volume in head["volumes"] if volume["name"] == "job"]
    assert job["name"] == found["ConfigMap"]["metadata"]["name"]
    assert job["items"][1] == {"key": "code-0.py", "path": "code/architectures/mine.py"}
    [container] = worker["containers"]
    assert container["resources"]["limits"] == {"cpu": 8, "memory": "32Gi", "nvidia.com/gpu": 1}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert {"name": "claim", "mountPath": "/mnt/lab"} in container["volumeMounts"]
    assert {"name": "SWEEPER_CACHE", "value": "/mnt/lab/.sweeper-cache"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert worker["tolerations"] == [
        {"key": "spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
        {"key": "lab", "operator": "Exists", "effect": "NoExecute"},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ]
    for command in (*submission.submit, *submission.status, *submission.logs, *submission.down):
        assert command[:5] == ("kubectl", "--context", "lab cluster", "--namespace", "lab")


@pytest.mark.parametrize("make", [small, large])
def test_no_pod_has_rights_that_it_does_not_need(make: Any, tmp_path: Path) -> None:
    """The rules that Kubernetes calls restricted, and no token for its API but in the container of the autoscaler."""
    found = documents(make(tmp_path))
    spec = found["RayJob"]["spec"]["rayClusterSpec"]
    for name, pod in pods(found["RayJob"]).items():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] and pod["spec"]["securityContext"]["runAsUser"] == 1000
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys()
        for container in (*pod["spec"]["containers"], spec["autoscalerOptions"]):
            assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        for container in pod["spec"]["containers"]:
            assert "api-token" not in [mount["name"] for mount in container.get("volumeMounts", ())]
        volumes = pod["spec"].get("volumes", ())
        assert all("hostPath" not in volume for volume in volumes)
        assert ("api-token" in [volume["name"] for volume in volumes]) == (name == "head" and make is large)
    assert bool(spec["autoscalerOptions"]["volumeMounts"]) == spec["enableInTreeAutoscaling"] == (make is large)
    assert spec["authOptions"] == {"mode": "token"} and spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("make", [small, large])
def test_only_its_own_pods_and_kuberay_reach_a_cluster(make: Any, tmp_path: Path) -> None:
    found = documents(make(tmp_path))
    policy = found["NetworkPolicy"]["spec"]
    own = policy["podSelector"]["matchLabels"]
    assert own and all(own.items() <= pod["metadata"]["labels"].items() for pod in pods(found["RayJob"]).values())
    first, second = policy["ingress"]
    assert first == {"from": [{"podSelector": {"matchLabels": own}}]}
    assert second["ports"] == [{"protocol": "TCP", "port": 8265}]
    assert second["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}
    assert {one["metadata"]["namespace"] for one in found.values()} == {"lab" if make is large else "default"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": 'a"b'}, "image: 'a\"b' cannot be used.*for example registry"),
        ({"image": "a: b"}, "image"),
        ({"image": "a\nb"}, "image"),
        ({"namespace": "Lab"}, "namespace: 'Lab'"),
        ({"claim": "a/b"}, "claim"),
        ({"secret": "-a"}, "secret"),
        ({"workers": 0}, "workers: 0 is not from 1"),
        ({"workers": 3, "max_workers": 2}, "max_workers: 2 is not from 3"),
        ({"user": 0}, "user: 0"),
        ({"nodes": ("pool",)}, "nodes: 'pool' is no label of a node. Write key=value"),
        ({"tolerations": ("spot",)}, "tolerations: 'spot' is no taint"),
        ({"cpus": 1}, "no trial fits: the study asks for 2 CPUs"),
        ({"claim_path": "/data"}, "claim_path is the place of a claim, and there is none"),
        ({"claim": "lab"}, "claim_path is missing"),
        ({"context": "a\nb"}, "context"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    job = job_in(tmp_path, results="s3://bucket/results", cpus_per_trial=2)
    with pytest.raises(InputError, match=said):
        kubernetes(job, **SMALL | options)


@pytest.mark.parametrize(
    ("results", "options", "said"),
    [
        ("/home/me/results", {}, "pods share a folder only if it is on a PersistentVolumeClaim"),
        ("/home/me/results", {"claim": "lab", "claim_path": "/mnt/lab"}, "is not in claim_path: /mnt/lab"),
        ("/home/my results", {"claim": "lab"}, "claim_path: '/home/my results' cannot be used"),
        ("/mnt/lab/$(id)", {"claim": "lab", "claim_path": "/mnt/lab"}, re.escape("'/mnt/lab/$(id)' cannot be said to a job")),
    ],
)
def test_results_that_would_be_lost(results: str, options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        kubernetes(job_in(tmp_path, results=results), **SMALL | options)


def test_too_much_for_a_config_map(tmp_path: Path) -> None:
    job = job_in(tmp_path, results="s3://bucket/results")
    job.study_file.write_text("#" * LARGEST_MAP)
    with pytest.raises(InputError, match=r"digits.yaml and no code have 1,048,586 bytes together; .* holds 1,048,576"):
        kubernetes(job, **SMALL)


def test_a_long_name_of_a_study_is_one_that_kuberay_takes(tmp_path: Path) -> None:
    rayjob = documents(kubernetes(job_in(tmp_path, study="A long name: of ümlauts" * 5, results="gs://b/r"), **SMALL))["RayJob"]
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", rayjob["metadata"]["name"]) and len(rayjob["metadata"]["name"]) <= 47


# ---------------------------------------------------------------------------------------------------------------- schemas


def strict(schema: Any) -> Any:
    """A schema of Kubernetes under which a field that it does not know is a fault."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: strict(value) for key, value in schema.items()}
    is_closed = schema.get("type") == "object" and "properties" in schema
    return ({"additionalProperties": False} if is_closed else {}) | inner


@pytest.fixture(params=[small, large])
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, dict[str, Any]]:
    return documents(request.param(tmp_path))


def faulty(rayjob: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same with a field that does not exist, and with a value of another type."""
    for change in ({"privilegd": True}, {"securityContext": []}):
        copy = json.loads(json.dumps(rayjob))
        copy["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0].update(change)
        yield copy


@pytest.mark.skipif("KUBERAY_CRD" not in os.environ, reason="KUBERAY_CRD names no ray.io_rayjobs.yaml of KubeRay")
def test_the_schema_of_kuberay(rendered: dict[str, dict[str, Any]]) -> None:
    definition = yaml.load(Path(os.environ["KUBERAY_CRD"]).read_text(), yaml.CSafeLoader)
    [version] = [one for one in definition["spec"]["versions"] if one["name"] == "v1"]
    validator = jsonschema.Draft202012Validator(strict(version["schema"]["openAPIV3Schema"]))
    assert [error.message for error in validator.iter_errors(rendered["RayJob"])] == []
    assert all(not validator.is_valid(one) for one in faulty(rendered["RayJob"]))


def test_the_schemas_of_kubernetes(rendered: dict[str, dict[str, Any]]) -> None:
    validation = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: see make test-exports")

    def validate(rayjob: dict[str, Any]) -> None:
        for name, pod in pods(rayjob).items():
            facts = {"name": name, **pod["metadata"]}
            validation.validate({"apiVersion": "v1", "kind": "Pod", "metadata": facts, "spec": pod["spec"]}, "1.33", strict=True)

    validate(rendered["RayJob"])
    for kind in ("NetworkPolicy", "ConfigMap"):
        validation.validate(rendered[kind], "1.33", strict=True)
    for one in faulty(rendered["RayJob"]):
        with pytest.raises(validation.ValidationError):
            validate(one)
