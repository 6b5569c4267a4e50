"""The panels that ship, and what a panel's file may say: turns, sampling, sizes, hashes of names and of contents."""

from __future__ import annotations

import json
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import envs
from envs import presets
from envs.command import run_command
from envs.config import load
from envs.errors import InputError
from envs.installation import REPOSITORY
from envs.registry import config_class
from evals import panel_records, run
from evals.panel_files import NOT_PINNED, world_words
from evals.panels import Panel, choose, read
from evals.run import EvalConfig

SHIPPED = presets.names("panel")
HERE = {"alfworld_generated_unseen", "sokoban_generated", "webshop_generated"}


def evaluate(*words: str) -> int:
    return run_command("evals", run.EvalConfig, run.main, description="", argv=words)


@pytest.fixture
def panel_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose `panel/*.yaml` stand in for those of the repository, and a cache of its own."""
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "panel").mkdir()
    return tmp_path / "panel"


def problems(path: Path, *answers: int) -> Path:
    path.mkdir(exist_ok=True)
    lines = [json.dumps({"question": f"what is {number}?", "answer": str(of)}) for number, of in enumerate(answers)]
    (path / "test.jsonl").write_text("\n".join(lines) + "\n")
    return path


def chosen(panel: str, *words: str) -> tuple[Any, Panel]:
    return choose(load(EvalConfig, [f"env={read(panel).env}", *words]).env, panel, "", 0, 3)


def test_every_world_of_the_issue_has_its_panels():
    assert {
        *("alfworld_generated_unseen", "alfworld_valid_seen", "alfworld_valid_unseen", "textworld_cooking"),
        *("scienceworld_test", "sokoban_generated", "sokoban_boxoban", "webshop_generated", "webshop_test"),
        *("gsm8k_test", "math_500", "mbpp_test", "humaneval"),
    } == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_panel_says_all_it_should(name: str):
    rule = read(name)
    options = {option.name for option in fields(config_class(rule.env))}
    assert set(rule.options) | {"max_turns"} <= options
    assert rule.options["split"]
    assert rule.turns is not None
    assert rule.sampling.temperatures
    assert rule.sha256, "a hash, or: not yet pinned"
    assert rule.tasks is not None or rule.size is not None or rule.sha256 != NOT_PINNED
    text = (presets.FOLDER / "panel" / f"{name}.yaml").read_text()
    assert ("not yet pinned" in text.partition("env:")[0]) == (NOT_PINNED in (rule.sha256, rule.content_sha256))


@pytest.mark.parametrize("name", sorted(HERE))
def test_a_panel_without_data_is_the_pinned_one(name: str):
    make, panel = chosen(name)
    rule = read(name)
    assert panel.sha256 == rule.sha256
    assert len(panel.tasks) == len(set(panel.tasks)) in (300, 500)
    assert panel.content_sha256 == rule.content_sha256 != ""
    assert panel.notes == ()
    assert make.keywords["max_turns"] == rule.turns


@pytest.mark.parametrize("name", [*sorted(HERE), "textworld_cooking", "scienceworld_test"])
def test_a_panel_is_the_same_one_at_every_difficulty_of_its_world(name: str):
    rule = read(name)
    for preset in (env for env in presets.names("env") if presets.read("env", env)["env"]["name"] == rule.env):
        try:
            _, panel = choose(load(EvalConfig, [f"env={preset}"]).env, name, "", 0, 3)
        except envs.errors.MissingExtraError as error:
            pytest.skip(str(error))
        assert panel.sha256 == rule.sha256, preset


@pytest.mark.parametrize("name", ["textworld_cooking", "scienceworld_test"])
def test_a_panel_of_a_package_is_the_pinned_one(name: str):
    try:
        _, panel = chosen(name)
    except envs.errors.MissingExtraError as error:
        pytest.skip(str(error))
    assert (panel.sha256, panel.content_sha256) == (read(name).sha256, read(name).content_sha256)
    assert panel.content_sha256 != ""


def another_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """ALFWorld's generator leaves a thing out of one game."""
    from envs.alfworld import environment

    made, changed = environment.generated_problem, chosen("alfworld_generated_unseen")[1].tasks[150]

    def other(name: str) -> Any:
        problem = made(name)
        return problem._replace(things=problem.things[1:]) if name == changed else problem

    monkeypatch.setattr(environment, "generated_problem", other)


def another_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sokoban's generator gives one number the level of another."""
    from envs.sokoban import environment

    made, changed = environment.generate, int(chosen("sokoban_generated")[1].tasks[7].rpartition("/")[2])
    monkeypatch.setattr(
        environment, "generate", lambda of, split, number: made(of, split, number + 1000 * (number == changed))
    )


def another_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated shop's last product costs something else."""
    from envs.webshop import catalogue

    made = catalogue.generated_shop

    def other(num_products: int) -> Any:
        items, *rest = made(num_products)
        return [*items[:-1], items[-1] | {"pricing": "$9,999.00"}], *rest

    monkeypatch.setattr(catalogue, "generated_shop", other)
    # With a memory of its own: other tests go on with the shop as it is.
    anew = cache(catalogue.generated_catalogue.__wrapped__)
    monkeypatch.setattr("envs.webshop.environment.generated_catalogue", anew)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("alfworld_generated_unseen", another_room),
        ("sokoban_generated", another_level),
        ("webshop_generated", another_price),
    ],
)
def test_a_generator_that_makes_one_task_otherwise_is_refused(
    name: str,
    changed: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    changed(monkeypatch)
    rule = read(name)
    assert evaluate(f"env={rule.env}", f"panel={name}", "policy=random") == 2
    said = capsys.readouterr().err
    assert f"panel={name} has contents of tasks of sha256 {rule.content_sha256[:12]}, but those here have" in said
    assert "the release of Keystone, or of the package that makes them." in said
    assert said.count("\n") == 1


def test_another_simulator_of_scienceworld_is_refused(monkeypatch: pytest.MonkeyPatch):
    try:
        envs.make("scienceworld")
    except envs.errors.MissingExtraError as error:
        pytest.skip(str(error))
    monkeypatch.setattr("envs.scienceworld.environment.simulator_sha256", lambda: "0" * 64)
    with pytest.raises(InputError, match="panel=scienceworld_test has contents of tasks of sha256 631db4024fc6, but"):
        chosen("scienceworld_test")


def test_generated_problems_have_a_content(monkeypatch: pytest.MonkeyPatch):
    def drawn(*words: str) -> dict[str, Any]:
        return choose(load(EvalConfig, list(words)).env, "", "test", 0, 3)[1].as_json()

    for env, maker in (
        ("math", "envs.math_problems.generator.Generator.problem"),
        ("code", "envs.code_problems.environment.generate"),
    ):
        before = drawn(f"env={env}")
        assert len(before["content_sha256"]) == 64
        assert drawn(f"env={env}", "env.max_turns=9") == before
        made = pkgutil.resolve_name(maker)
        with monkeypatch.context() as patch:
            patch.setattr(maker, lambda *given, made=made: reworded(made(*given)))
            after = drawn(f"env={env}")
        assert after["sha256"] == before["sha256"]
        assert after["content_sha256"] != before["content_sha256"]


def reworded(problem: Any) -> Any:
    said = next(name for name in ("question", "statement") if hasattr(problem, name))
    return replace(problem, **{said: f"{getattr(problem, said)} Please."})


def test_panels_of_real_data_are_the_pinned_ones(
    real_data: Path, alfworld_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path))
    # Levels are named after their file, and split by its folder: both as they are published.
    levels = tmp_path / "unfiltered" / "test" / "000.txt"
    levels.parent.mkdir(parents=True)
    shutil.copy(real_data / "sokoban" / "unfiltered_test_000.txt", levels)
    for name, data, size in (
        ("alfworld_valid_seen", alfworld_data, 140),
        ("mbpp_test", real_data / "code" / "mbpp.jsonl", 500),
        ("sokoban_boxoban", levels, 1000),
    ):
        _, panel = chosen(name, f"data={data}")
        assert (panel.sha256, panel.content_sha256) == (read(name).sha256, read(name).content_sha256), name
        assert len(panel.tasks) == size


def test_changing_one_task_changes_the_hash_and_is_refused(real_data: Path, tmp_path: Path):
    changed = tmp_path / "mbpp.jsonl"
    lines = (real_data / "code" / "mbpp.jsonl").read_text().splitlines()
    row = json.loads(lines[100])
    row["test_list"][0] = row["test_list"][0].replace("==", "!=", 1)
    changed.write_text("\n".join([*lines[:100], json.dumps(row), *lines[101:]]) + "\n")
    with pytest.raises(InputError, match=r"panel=mbpp_test has contents of tasks of sha256 027b0e0d03f3, but those"):
        chosen("mbpp_test", f"data={changed}")
    changed.write_text("\n".join([*lines[:100], *lines[101:]]) + "\n")
    with pytest.raises(InputError, match="panel=mbpp_test has 500 tasks, but the data here has 499"):
        chosen("mbpp_test", f"data={changed}")


def test_an_edited_game_of_a_real_split_is_refused(
    alfworld_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(alfworld_data / "json_2.1.1" / "valid_seen", tmp_path / "data" / "valid_seen")
    name = chosen("alfworld_valid_seen", f"data={tmp_path / 'data'}")[1].tasks[3]
    game = tmp_path / "data" / name / "game.tw-pddl"
    content = json.loads(game.read_text())
    game.write_text(json.dumps(content | {"walkthrough": []}))
    assert chosen("alfworld_valid_seen", f"data={tmp_path / 'data'}")[1].tasks[3] == name
    facts = content["pddl_problem"]
    edited = facts.replace("(openable ", "(heatable ", 1)
    assert edited != facts
    game.write_text(json.dumps(content | {"pddl_problem": edited}))
    with pytest.raises(InputError, match=r"panel=alfworld_valid_seen has contents of tasks of sha256 e719c83808ca"):
        chosen("alfworld_valid_seen", f"data={tmp_path / 'data'}")


def test_a_hash_that_is_not_pinned_holds_from_its_first_use(
    panel_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (panel_files / "mine.yaml").write_text(
        "env: math\noptions: {split: test}\ntasks: all\nsha256: not yet pinned\ncontent_sha256: not yet pinned\n"
    )
    data = problems(tmp_path / "data", 3, 5, 8)
    words = ("env=math", f"data={data}", "panel=mine", "policy=oracle")
    assert evaluate(*words, f"out={tmp_path / 'one'}") == 0
    record = tmp_path / "cache" / "panels" / "mine.json"
    assert f"panel=mine: hash not yet pinned; recorded at this first use in {record}." in capsys.readouterr().out
    kept, facts = json.loads(record.read_text()), json.loads((tmp_path / "one" / "score.json").read_text())["panel"]
    assert kept == {name: facts[name] for name in ("sha256", "content_sha256")}
    assert evaluate(*words) == 0
    assert "hash not yet pinned; it is the one of the first use here" in capsys.readouterr().out
    problems(data, 3, 5, 9)
    assert evaluate(*words) == 2
    assert "panel=mine had contents of tasks of sha256" in capsys.readouterr().err
    problems(data, 3, 5)
    assert evaluate(*words) == 2
    assert "panel=mine had tasks of sha256" in capsys.readouterr().err
    assert json.loads(record.read_text()) == kept
    record.write_text("{}")
    assert evaluate(*words) == 2
    assert "cannot be read. Delete it." in capsys.readouterr().err


def test_a_refused_command_records_no_hash(panel_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (panel_files / "mine.yaml").write_text(
        "env: math\noptions: {split: test}\ntasks: all\nsha256: not yet pinned\ncontent_sha256: not yet pinned\n"
    )
    words, record = ("env=math", "panel=mine"), tmp_path / "cache" / "panels" / "mine.json"
    wrong = problems(tmp_path / "wrong", 3, 5)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").touch()
    for refused in ("policy=ranodm", f"out={tmp_path / 'taken'}", "temperatures=-1"):
        assert evaluate(*words, f"data={wrong}", "policy=oracle", refused) == 2
        assert "not yet pinned" not in "".join(capsys.readouterr())
        assert not record.exists(), refused
    assert evaluate(*words, f"data={problems(tmp_path / 'right', 3, 5, 8)}", "policy=oracle") == 0
    assert record.exists()


def test_a_drawn_panel_does_not_go_on_with_other_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = problems(tmp_path / "data", 3, 5, 8)
    words = ("env=math", f"data={data}", "policy=oracle", "split=test", "tasks=2", f"out={tmp_path / 'out'}")
    assert evaluate(*words) == 0
    problems(data, 4, 6, 9)
    assert evaluate(*words) == 2
    assert "holds another evaluation: its panel.content_sha256 is" in capsys.readouterr().err


def test_the_file_lists_tasks_by_name_or_their_number(panel_files: Path, tmp_path: Path):
    data = problems(tmp_path / "data", 3, 5, 8)
    (panel_files / "mine.yaml").write_text("env: math\noptions: {split: test}\ntasks: [test-3, test-1]\n")
    assert chosen("mine", f"data={data}")[1].tasks == ("test-3", "test-1")
    (panel_files / "mine.yaml").write_text("env: math\noptions: {split: test}\ntasks: all\nsize: 4\n")
    with pytest.raises(InputError, match="panel=mine has 4 tasks, but the data here has 3"):
        chosen("mine", f"data={data}")


def test_where_the_data_is_may_be_said_by_the_panel_and_by_the_command(panel_files: Path, tmp_path: Path):
    one, two = problems(tmp_path / "one", 3, 5), problems(tmp_path / "two", 3, 5, 8)
    (panel_files / "mine.yaml").write_text(f"env: math\ndata: {one}\noptions: {{split: test}}\ntasks: all\n")
    assert len(chosen("mine")[1].tasks) == 2
    assert len(chosen("mine", f"data={two}")[1].tasks) == 3


@pytest.fixture
def stated(panel_files: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """A panel that states turns and sampling; calls evaluate it and return what was printed."""
    data = problems(tmp_path / "data", 3, 5, 8)
    (panel_files / "mine.yaml").write_text(
        f"env: math\ndata: {data}\noptions: {{split: test, attempts: 2}}\ntasks: all\nturns: 3\n"
        "sampling: {temperatures: [0.5], seeds: [4, 5]}\n"
    )
    (panel_files.parent / "env").mkdir()
    (panel_files.parent / "model").mkdir()
    for file in ("env/math.yaml", "model/tiny.yaml"):
        shutil.copy(presets.REPOSITORY / "configs" / file, panel_files.parent / file)
    return lambda *words: ["env=math", "panel=mine", *words]


def test_what_a_panel_states_is_played(stated: Callable[..., list[str]], tmp_path: Path):
    assert evaluate(*stated("policy=random", f"out={tmp_path / 'out'}")) == 0
    facts = json.loads((tmp_path / "out" / "score.json").read_text())
    assert facts["options"]["max_turns"] == 3
    assert (facts["seeds"], facts["scores"][0]["episodes"]) == ([4, 5], 6)
    inputs = run.check(load(EvalConfig, stated("policy=tiny")))
    assert (inputs.temperatures, inputs.seeds, inputs.notes) == ((0.5,), (4, 5), ())


def test_what_the_command_states_otherwise_is_played_and_said(
    stated: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
):
    words = stated("policy=tiny", "env.max_turns=5", "temperatures=[0,1]", "seeds=4")
    inputs = run.check(load(EvalConfig, words))
    assert (inputs.temperatures, inputs.seeds) == ((0.0, 1.0), (4,))
    assert inputs.make_env.keywords["max_turns"] == 5
    turns, temperatures, seeds = inputs.notes
    assert turns.startswith("panel=mine states 3 turns, and here 5 are played")
    assert temperatures == "panel=mine states temperatures 0.5; here it is 0, 1."
    assert seeds == "panel=mine states seeds 4, 5; here it is 4."
    assert evaluate(*stated("policy=random", "env.max_turns=5")) == 0
    assert turns in capsys.readouterr().out


def test_options_that_choose_the_tasks_are_the_panels(stated: Callable[..., list[str]]):
    inputs = run.check(load(EvalConfig, stated("policy=random", "env.attempts=4")))
    assert inputs.make_env.keywords["attempts"] == 2
    assert inputs.notes == ("panel=mine is played with env.attempts=2; 4 is not used.",)
    inputs = run.check(load(EvalConfig, stated("policy=random", "split=train", "tasks=2")))
    assert len(inputs.panel.tasks) == 3
    assert inputs.notes == (
        "panel=mine has its own split; split=train is not used.",
        "panel=mine has its own tasks; tasks=2 is not used.",
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("turns: 0", "turns must be a number of at least 1, got 0"),
        ("size: many", "size must be a number of at least 1, got 'many'"),
        ("sampling: {temperature: [0]}", "sampling must be a mapping of temperatures and seeds"),
        ("sampling: {temperatures: [-1]}", "sampling must be a mapping of temperatures and seeds"),
        ("sampling: {seeds: [0.5]}", "sampling must be a mapping of temperatures and seeds"),
        ("content_sha256: ab", "content_sha256 must be 64 hexadecimal digits, or: not yet pinned, got 'ab'"),
        ("data: [a]", "data must be a path or the name of a data set, got ['a']"),
    ],
)
def test_a_wrong_line_is_refused(line: str, said: str, panel_files: Path):
    (panel_files / "mine.yaml").write_text(f"env: math\ntasks: 3\n{line}\n")
    with pytest.raises(InputError) as caught:
        read("mine")
    assert said in str(caught.value)


@pytest.mark.parametrize("tasks", ["[]", "[a, a]", "[1]", "true"])
def test_what_is_no_list_of_tasks(tasks: str, panel_files: Path):
    (panel_files / "mine.yaml").write_text(f"env: math\ntasks: {tasks}\n")
    with pytest.raises(InputError, match="tasks must be a number of at least 1, or all"):
        read("mine")


def test_a_cache_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "file"))
    assert panel_records.hold("mine", "a", "b").endswith("cannot be written.")


def test_content_is_of_the_tasks_and_not_of_their_place(real_data: Path, tmp_path: Path):
    level = "; 0\n#####\n#@$.#\n#####\n"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}_test.txt").write_text(level)
    one, two = (
        Panel("p", tuple(env.sample_tasks(0, 1))).with_content(env)
        for env in (envs.make("sokoban", split="test", data=str(tmp_path / each)) for each in ("one", "two"))
    )
    assert one.sha256 != two.sha256
    assert one.content_sha256 == two.content_sha256 != ""
    game = "tw-rewardsDense_goalBrief"
    for suffix in (".z8", ".json"):
        shutil.copy(real_data / "textworld" / f"{game}{suffix}", tmp_path)
    try:
        made = envs.make("textworld", data=str(tmp_path / f"{game}.z8"))
    except envs.errors.MissingExtraError as error:
        pytest.skip(str(error))
    assert len(made.content_of(f"{game}.z8")) > 1000


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["panel=gsm8k_test", "policy=random"], ["env=math"]),
        (["panel=gsm8k_test", "env=code"], []),
        (["panel=gsm8k_test", "config=saved.yaml"], []),
        (["panel=nowhere"], []),
        (["panel="], []),
        ([], []),
    ],
)
def test_a_panel_names_its_world_where_nothing_else_does(words: list[str], found: list[str]):
    assert world_words(words) == found


def test_a_panel_alone_is_played_in_its_world():
    command = [sys.executable, "-m", "evals.run", "policy=ranodm", "panel=sokoban_generated"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    # What plays is looked up among the players of the panel's world; alfworld has more.
    assert "unknown policy 'ranodm'. Did you mean 'random'" in done.stderr
    assert "expert" not in done.stderr.partition("Or ")[0]
