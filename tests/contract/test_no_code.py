"""No file that Keystone reads can run code: what could do that is not in the tree, but for the places named here."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.policies.transformers import load
from envs.config import load as load_config
from envs.errors import InputError
from envs.installation import PACKAGES, REPOSITORY
from training import fitting, prepare
from training.config import RunConfig
from training.doctor import machine

# What passes between a program and processes that it started itself, over a socket pair, over a pool's pipes or in a
# folder made for it; over Ray, between a program and its cluster; and the contract's check that a world's values could
# so pass.
PICKLING = {
    "envs/alfworld/verify_worker.py",
    "envs/contract/robustness.py",
    "envs/contract/second_process.py",
    "envs/pool/messages.py",
    "envs/pool/process.py",
    "envs/pool/worker.py",
    "training/cell_cluster.py",
    "training/cell_workers.py",
}
# Keystone's own modules sent into the sandbox, what runs inside it, and expressions that the generator wrote itself.
RUNNING = {
    "envs/code_problems/generator.py",
    "envs/sandbox/program.py",
    "envs/sandbox/worker.py",
    "envs/verifiers/candidate.py",
    "envs/verifiers/examiner.py",
}
PICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
# What pickles without saying so: arguments, results, or what is collected from several processes.
PICKLING_NAMES = {
    *("ProcessPoolExecutor", "multiprocessing.Pool", "multiprocessing.Queue", "multiprocessing.Manager", "ray.remote"),
    *("torch.save", "all_gather_object", "gather_object", "scatter_object_list", "broadcast_object_list"),
}


def modules() -> list[Path]:
    return sorted(file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py"))


def faults(tree: ast.AST) -> Iterator[str]:
    """What could run code out of a file, each by a word."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ("pickle" for alias in node.names if alias.name.partition(".")[0] in PICKLERS)
        elif isinstance(node, ast.ImportFrom):
            yield from ["pickle"] * ((node.module or "").partition(".")[0] in PICKLERS)
            yield from ("pickle" for alias in node.names if _pickles(f"{node.module}.{alias.name}"))
        elif isinstance(node, ast.Attribute):
            yield from ["pickle"] * _pickles(ast.unparse(node))
        elif isinstance(node, ast.Call):
            yield from _of_call(ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords})


def _pickles(name: str) -> bool:
    """Whether a dotted name is one of PICKLING_NAMES, in whatever module."""
    return any(f".{name}".endswith(f".{known}") for known in PICKLING_NAMES)


def _of_call(name: str, words: dict[str | None, str]) -> Iterator[str]:
    last = name.rpartition(".")[2]
    if name in ("eval", "exec", "builtins.eval", "builtins.exec", "os.system", "os.popen"):
        yield "run"
    if last == "load" and name.startswith(("torch.", "yaml.")) and words.get("weights_only") != "True":
        yield name
    if name.startswith("yaml.") and last.endswith(("unsafe_load", "full_load", "load_all")):
        yield name
    if words.get("allow_pickle", "False") != "False" or words.get("shell", "False") != "False":
        yield name
    if last in ("extractall", "unpack_archive") and words.get("filter") != "'data'":
        yield name
    if words.get("trust_remote_code", "False") != "False":
        yield "trust_remote_code"
    if re.fullmatch(r"(transformers\.)?Auto\w+\.from_pretrained", name) and "trust_remote_code" not in words:
        yield "trust_remote_code is not said"


@pytest.mark.parametrize("file", modules(), ids=lambda file: file.relative_to(REPOSITORY).as_posix())
def test_nothing_in_a_file_can_be_run(file: Path):
    found = set(faults(ast.parse(file.read_text(encoding="utf-8"))))
    name = file.relative_to(REPOSITORY).as_posix()
    assert found == ({"pickle"} if name in PICKLING else set()) | ({"run"} if name in RUNNING else set())


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from dill import loads",
        "from concurrent.futures import ProcessPoolExecutor",
        "pool = futures.ProcessPoolExecutor(1)",
        "from multiprocessing import Pool as Workers",
        "ray.remote(num_cpus=1)(compute)",
        "@ray.remote\ndef compute(): ...",
        "from ray import remote",
        "torch.save(tensors, path)",
        "torch.distributed.all_gather_object(rows, row)",
        "eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "numpy.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "archive.extractall(folder)",
        "AutoModel.from_pretrained(path)",
        "AutoConfig.from_pretrained(path, trust_remote_code=True)",
        "datasets.load_dataset(name, trust_remote_code=yes)",
    ],
)
def test_what_would_be_found(line: str):
    assert list(faults(ast.parse(line)))


@pytest.mark.parametrize("known", [True, False])
def test_the_code_of_a_model_folder_is_not_run(known: bool, tmp_path: Path):
    """A folder that brings a configuration class, a model and a tokenizer of its own along."""
    folder, ran = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(REPOSITORY / "agents" / "pretrained" / "tiny", folder)
    code = f"open({str(ran)!r}, 'w').close()\nraise SystemExit('ran')\n"
    for name in ("own.py", "configuration_own.py", "modeling_own.py", "tokenization_own.py"):
        (folder / name).write_text(code, encoding="utf-8")
    own = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoTokenizer": ["own.Tokenizer", None]}
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((folder / name).read_text(encoding="utf-8")) | {"auto_map": own}
        if not known:
            content |= {"model_type": "own"} if name == "config.json" else {"tokenizer_class": "OwnTokenizer"}
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    import torch

    config = load_config(RunConfig, [f"model={folder}"])
    assert prepare.block_count(str(folder)) == 8
    assert (fitting.skeleton(str(folder), torch.float32) is None) == (not known)
    machine.model(config)
    if known:
        # Transformers has that architecture itself.
        load(str(folder))
    else:
        with pytest.raises(InputError):
            load(str(folder))
    assert not ran.exists()
