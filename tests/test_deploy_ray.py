"""The files of deploy/ray are what Ray and KubeRay accept, and their commands are ours."""

import importlib.util
import json
import shlex
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from maxwhisper.cli import build_parser

ROOT = Path(__file__).parents[1]
TEXT = {name: (ROOT / "deploy/ray" / f"{name}.yaml").read_text() for name in ("cluster", "job")}
RAY = Path(importlib.util.find_spec("ray").submodule_search_locations[0])

NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$"}
RESOURCES = {"type": "object", "additionalProperties": QUANTITY, "required": ["cpu", "memory"]}


def strict(properties, *optional):
    """An object with these properties and no others; all but the `optional` are required."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


PORT = strict({"containerPort": {"type": "integer", "minimum": 1, "maximum": 65535}, "name": NAME})
CONTAINER = strict(
    {
        "name": NAME,
        "image": {"type": "string", "pattern": "^[^ ]+:[^ ]+$"},
        "ports": {"type": "array", "items": PORT},
        "resources": strict({"requests": RESOURCES, "limits": RESOURCES}),
    },
    "ports",
)
POD = strict({"spec": strict({"containers": {"type": "array", "items": CONTAINER, "minItems": 1}})})
PARAMS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}
GROUP = strict(
    {
        "groupName": NAME,
        "replicas": COUNT,
        "minReplicas": COUNT,
        "maxReplicas": COUNT,
        "rayStartParams": PARAMS,
        "template": POD,
    }
)
# The fields that we use of the resource RayJob of KubeRay, API version ray.io/v1: its reference is
# https://ray-project.github.io/kuberay/reference/api/. A field that is not here is refused, as a
# misspelt one would be by Kubernetes.
RAY_JOB = strict(
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": strict({"name": NAME}),
        "spec": strict(
            {
                "entrypoint": {"type": "string"},
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": COUNT,
                "backoffLimit": COUNT,
                "rayClusterSpec": strict(
                    {
                        "rayVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
                        "enableInTreeAutoscaling": {"type": "boolean"},
                        "headGroupSpec": strict({"rayStartParams": PARAMS, "template": POD}),
                        "workerGroupSpecs": {"type": "array", "items": GROUP, "minItems": 1},
                    }
                ),
            }
        ),
    }
)
SCHEMAS = {"cluster": json.loads((RAY / "autoscaler/ray-schema.json").read_text()), "job": RAY_JOB}


def check(name, text):
    Draft7Validator(SCHEMAS[name]).validate(yaml.safe_load(text))


@pytest.mark.parametrize("name", ["cluster", "job"])
def test_the_schema_accepts_the_file(name):
    check(name, TEXT[name])


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("cluster", "max_workers: 8\nup", "max_workers: many\nup"),
        ("cluster", "idle_timeout_minutes", "idle_timeout"),
        ("cluster", "cluster_name: maxwhisper", ""),
        ("job", "workerGroupSpecs", "workerGroups"),
        ("job", 'cpu: "12"', "cpu: 12"),
        ("job", "ray.io/v1", "ray.io/v1alpha1"),
    ],
)
def test_the_schema_refuses_a_mistake(name, old, new):
    assert old in TEXT[name]
    with pytest.raises(ValidationError):
        check(name, TEXT[name].replace(old, new))


def command(name):
    """The `maxwhisper batch` of a file, without the program's name."""
    if name == "job":
        return shlex.split(yaml.safe_load(TEXT[name])["spec"]["entrypoint"])[1:]
    comment = " ".join(line.strip("# ") for line in TEXT[name].splitlines() if line[:1] == "#")
    return shlex.split(comment.split('"maxwhisper ')[1].split('"')[0].replace("\\", ""))


@pytest.mark.parametrize("name", ["cluster", "job"])
def test_the_command_asks_for_as_many_gpus_as_may_come(name):
    args = build_parser().parse_args(command(name))
    assert (args.ray, args.device) == ("auto", "gpu")
    document = yaml.safe_load(TEXT[name])
    if name == "cluster":
        most = document["available_node_types"]["gpu"]["max_workers"]
    else:
        cluster = document["spec"]["rayClusterSpec"]
        assert cluster["enableInTreeAutoscaling"]
        most = sum(group["maxReplicas"] for group in cluster["workerGroupSpecs"])
    assert args.devices == most
