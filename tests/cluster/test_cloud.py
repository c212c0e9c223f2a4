"""Files for `ray up`: golden, held to Ray's own schema and to what the API of AWS takes; what is refused; what to type."""

from __future__ import annotations

import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.cloud import cloud
from sweeper.errors import InputError
from sweeper.submission import Submission
from tests.cluster.kit import STUDY, assert_golden, job_in

COMMON: dict[str, Any] = {"cpus": 4, "wheel": "dist/sweeper-0.1.0-py3-none-any.whl"}

AWS: dict[str, Any] = COMMON | {
    "provider": "aws",
    "region": "eu-central-1",
    "image": "ami-0123456789abcdef0",
    "head_type": "m6i.large",
    "worker_type": "g5.xlarge",
    "network": "sg-0123456789abcdef0",
    "identity": "sweeper-worker",
    "head_identity": "sweeper-head",
}

GCP: dict[str, Any] = COMMON | {
    "provider": "gcp",
    "project": "my-project",
    "region": "europe-west4",
    "zone": "europe-west4-a",
    "image": "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64",
    "head_type": "e2-standard-2",
    "worker_type": "n1-standard-4",
    "network": "regions/europe-west4/subnetworks/sweeper",
    "identity": "worker@my-project.iam.gserviceaccount.com",
}

RESULTS = {"aws": "s3://bucket/results", "gcp": "gs://bucket/results"}


def made(folder: Path, options: dict[str, Any], **facts: Any) -> Submission:
    return cloud(job_in(folder, **{"results": RESULTS[options["provider"]]} | facts), **options)


@pytest.fixture(autouse=True)
def _wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "sweeper-0.1.0-py3-none-any.whl").touch()
    monkeypatch.chdir(tmp_path)


CASES: dict[str, dict[str, Any]] = {
    "aws": AWS,
    "aws-gpu": AWS | {"gpus": 1, "zone": "eu-central-1a", "spot": False, "packages": ("tensorflow[and-cuda]",)},
    "gcp": GCP,
    "gcp-gpu": GCP | {"gpus": 2, "gpu_type": "nvidia-tesla-t4", "max_workers": 8, "prepare": ('echo "it\'s: %%{x}"',)},
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, tmp_path: Path) -> None:
    assert_golden(f"cloud-{name}.yaml", made(tmp_path, CASES[name]).files["cloud.yaml"], tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_the_schema_of_ray(name: str, tmp_path: Path) -> None:
    """What `ray up` does first with a file, without asking the cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load(made(tmp_path, CASES[name]).files["cloud.yaml"])
    validate_config(prepare_config(config))
    for change in ({"max_worker": 1}, {"idle_timeout_minutes": "10"}):
        with pytest.raises(jsonschema.ValidationError):
            validate_config(prepare_config(config | change))
    kind = config["available_node_types"]["worker"]
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config | {"available_node_types": {"head": kind, "worker": kind | {"spot": True}}}))


def test_what_the_api_of_aws_takes(tmp_path: Path) -> None:
    session = pytest.importorskip("botocore.session", reason="botocore is not installed")
    from botocore.validate import ParamValidator

    shape = session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    found = [yaml.safe_load(made(tmp_path, CASES[name]).files["cloud.yaml"]) for name in ("aws", "aws-gpu")]
    for kind in (kind for config in found for kind in config["available_node_types"].values()):
        asked = kind["node_config"] | {"MinCount": 1, "MaxCount": 1}
        assert ParamValidator().validate(asked, shape).generate_report() == ""
        assert ParamValidator().validate(asked | {"InstanceTyp": "x"}, shape).has_errors()


def test_values_arrive(tmp_path: Path) -> None:
    (tmp_path / "code" / "datasets").mkdir(parents=True)
    (tmp_path / "code" / "datasets" / "mine.py").write_text("def mine(): ...\n")
    submission = made(tmp_path, CASES["aws-gpu"], code=str(tmp_path / "code"), arguments=("--max-concurrent", "4"))
    config = yaml.safe_load(submission.files["cloud.yaml"])
    head, worker = (config["available_node_types"][name] for name in ("head", "worker"))
    assert config["provider"] == {
        "type": "aws", "region": "eu-central-1", "availability_zone": "eu-central-1a", "cache_stopped_nodes": False
    }  # fmt: skip
    assert worker["resources"] == {"CPU": 4, "GPU": 1} and head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in worker["node_config"]
    assert config["file_mounts"]["~/sweeper-wheel/sweeper-0.1.0-py3-none-any.whl"] == str(tmp_path / COMMON["wheel"])
    [install] = [line for line in config["setup_commands"] if "pip" in line]
    wheel = "~/sweeper-wheel/sweeper-0.1.0-py3-none-any.whl"
    assert shlex.split(install)[-4:] == [wheel, "ray[default]", "boto3", "tensorflow[and-cuda]"]
    assert submission.files["job/study.yaml"] == STUDY and "job/code/datasets/mine.py" in submission.files
    assert f"\nray=={metadata.version('ray')}\n" in submission.files["job/constraints.txt"]
    [line] = [line for line in submission.by_hand.splitlines() if "--tmux" in line]
    assert shlex.split(shlex.split(line)[-1])[:-2] == [
        *("python", "-m", "cluster._grow", "--workers", "4", "--cpus", "4", "--gpus", "1"),
        *("sweeper", "launch", "sweeper-job/study.yaml", "--results", "s3://bucket/results", "--cluster", "attach"),
        *("--code", "sweeper-job/code", "--max-concurrent", "4", ">"),
    ]


def test_workers_are_spot_machines_unless_said_otherwise(tmp_path: Path) -> None:
    spots = ((AWS, "InstanceMarketOptions", {"MarketType": "spot"}), (GCP, "scheduling", {"preemptible": True}))
    for options, key, value in spots:
        for spot in (True, False):
            kinds = yaml.safe_load(made(tmp_path, options | {"spot": spot}).files["cloud.yaml"])["available_node_types"]
            assert (kinds["worker"]["node_config"].get(key, {}).items() >= value.items()) == spot
            assert key not in kinds["head"]["node_config"]


def test_nothing_is_open_but_ssh_and_nothing_goes_without_the_token(tmp_path: Path) -> None:
    for options in (AWS, GCP):
        config = yaml.safe_load(made(tmp_path, options).files["cloud.yaml"])
        started = [line for name in ("head", "worker") for line in config[f"{name}_start_ray_commands"] if "ray start" in line]
        assert len(started) == 2 and all("RAY_AUTH_MODE=token" in line for line in started)
        assert "--dashboard-host=127.0.0.1" in started[0]
        assert "security_group" not in config["provider"]  # Ray would open port 22 of such a one to everybody
    for kind in yaml.safe_load(made(tmp_path, AWS).files["cloud.yaml"])["available_node_types"].values():
        assert kind["node_config"]["SecurityGroupIds"] == [AWS["network"]]
        assert kind["node_config"]["IamInstanceProfile"] and kind["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (AWS | {"provider": "azure"}, "provider: 'azure' is unknown. Allowed: aws, gcp"),
        (AWS | {"image": "ubuntu"}, "image: 'ubuntu' cannot be used.*for example ami-"),
        (AWS | {"network": "sg-1\n"}, "network"),
        (AWS | {"head_identity": None}, "head_identity is missing; provider aws needs it"),
        (AWS | {"project": "mine"}, "project: provider aws has no such option"),
        (AWS | {"worker_type": 'a"b'}, "worker_type"),
        (AWS | {"wheel": "none.whl"}, "there is no wheel none.whl. Make one of sweeper with: pip wheel"),
        (AWS | {"packages": ("a\nb",)}, "packages"),
        (AWS | {"prepare": ("a\nb",)}, "prepare"),
        (AWS | {"workers": 3, "max_workers": 2}, "max_workers: 2 is not from 3"),
        (AWS | {"cpus": 1}, "no trial fits"),
        (GCP | {"zone": None}, "zone is missing; provider gcp needs it"),
        (GCP | {"network": "default"}, "network: 'default' cannot be used.*for example regions/"),
        (GCP | {"gpu_type": "nvidia-tesla-t4"}, "gpus: 0 is not from 1"),
        (GCP | {"head_identity": "x"}, "head_identity: provider gcp has no such option"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        cloud(job_in(tmp_path, results=RESULTS.get(options["provider"], "s3://b/r"), cpus_per_trial=2), **options)


@pytest.mark.parametrize(("options", "results"), [(AWS, "/home/me/results"), (AWS, "gs://b/r"), (GCP, "s3://b/r")])
def test_results_must_be_in_a_bucket_of_the_provider(options: dict[str, Any], results: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--results {results}: machines of .* share no folder. Name a bucket"):
        cloud(job_in(tmp_path, results=results), **options)
