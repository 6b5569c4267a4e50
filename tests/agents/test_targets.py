"""Reading `layer=`, and making the named part of a model, and no other, trainable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.blocks import find_stack
from agents.targets import Target, middle, parameters, parse, select
from envs.errors import InputError
from tests.agents.models import model

sizes = st.integers(1, 96)
STUDIES = Path(__file__).parents[2] / "evals" / "results" / "studies"


@settings(max_examples=60, deadline=None)
@given(sizes, st.data())
def test_a_number_is_that_block(num_blocks: int, data: st.DataObject):
    index = data.draw(st.integers(0, num_blocks - 1))
    target = parse(f" {index} ", num_blocks)
    assert target == Target((index,))
    assert (target.name, target.lowest, target.full) == (str(index), index, False)


@settings(max_examples=60, deadline=None)
@given(sizes, st.data())
def test_lists_and_ranges_are_sorted_sets(num_blocks: int, data: st.DataObject):
    blocks = st.integers(0, num_blocks - 1)
    pairs = data.draw(st.lists(st.tuples(blocks, blocks).map(sorted), min_size=1, max_size=4))
    text = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in pairs)
    expected = sorted({index for low, high in pairs for index in range(low, high + 1)})
    target = parse(text, num_blocks)
    assert target == Target(tuple(expected))
    assert target.lowest == expected[0]
    assert parse(target.name, num_blocks) == target


@settings(max_examples=60, deadline=None)
@given(sizes, st.data())
def test_middle_is_where_the_paper_puts_it(num_blocks: int, data: st.DataObject):
    count = data.draw(st.integers(1, num_blocks))
    indices = middle(num_blocks, count)
    assert len(indices) == count
    # floor(L/2 - k/2) to floor(L/2 + k/2) - 1
    assert indices[0] == (num_blocks - count) // 2
    assert indices[-1] == (num_blocks + count) // 2 - 1
    assert 0 <= indices[0] <= indices[-1] < num_blocks
    assert parse(f"middle:{count}", num_blocks) == Target(indices)


def test_names():
    assert parse("middle", 8) == Target((3,))
    assert parse("middle", 28) == Target((13,))
    assert parse("middle:5", 28) == Target((11, 12, 13, 14, 15))
    assert parse("last", 8) == Target((7,))
    assert parse("Full", 3) == Target((0, 1, 2), full=True)
    assert parse("full", 3).name == "full"
    assert [parse(name, 8, ("auto", "new")) for name in ("auto", "new")] == [None, None]


def test_parts_adapters_and_boosted_blocks():
    assert parse("2.mlp", 8) == Target((2,), parts=((2, "mlp"),))
    assert parse("2.MLP, 4", 8) == Target((2, 4), parts=((2, "mlp"),))
    assert parse("2-3.attention", 8) == Target((2, 3), parts=((2, "attention"), (3, "attention")))
    assert parse("2.mlp,2", 8) == Target((2,))
    assert parse("lora:5", 8) == Target((5,), lora=True)
    assert parse("LoRA:middle", 8) == Target((3,), lora=True)
    assert parse("boost:2-4", 8) == Target((2, 3, 4), boosted=True)
    boosted = parse("boost:2-4", 8)
    assert (boosted.lowest, boosted.everything, boosted.full) == (0, True, False)
    assert parse("full", 8).everything


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["", "lora:", "boost:"]),
    st.lists(st.tuples(st.integers(0, 11), st.sampled_from(["", ".mlp", ".attention"])), min_size=1, max_size=5),
)
def test_a_name_is_read_back_as_its_target(kind: str, items: list[tuple[int, str]]):
    target = parse(kind + ",".join(f"{index}{part}" for index, part in items), 12)
    assert target is not None
    assert parse(target.name, 12) == target


def study(path: Path, success: dict[str, list[float]], blocks: int = 4) -> Path:
    arms = {
        name: {"learning_rate": 1e-3, "seeds": list(range(len(values))), "success": {"panel": values}}
        for name, values in success.items()
    }
    content = {"blocks": blocks, "seeds": [0, 1], "panels": {"panel": {"tasks": 300, "sha256": ""}}, "arms": arms}
    path.write_text(json.dumps(content))
    return path


MEANS = {
    "base": [0.1],
    "full": [0.9],
    "lora:2": [0.8],
    "0": [0.3, 0.5],
    "1": [0.6, 0.6],
    "2": [0.5, 0.5],
    "3": [0.4, 0.6],
}


def test_best_and_worst_blocks_of_a_study(tmp_path: Path):
    file = study(tmp_path / "Study.json", MEANS)
    assert parse(f"best:1@{file}", 4) == Target((1,))
    assert parse(f"best:2@{file}", 4) == Target((1, 2))
    assert parse(f"worst:1@{file}", 4) == Target((0,))
    assert parse(f"boost:best:3@{file}", 4) == Target((1, 2, 3), boosted=True)
    with pytest.raises(InputError, match="best:1 to best:4 exist"):
        parse(f"best:5@{file}", 4)
    with pytest.raises(InputError, match=r"layer=best:1@.*: cannot read .*nowhere\.json': No such file"):
        parse(f"best:1@{tmp_path / 'nowhere.json'}", 4)


@pytest.mark.parametrize("num_blocks", [3, 28])
def test_a_study_of_a_model_with_other_blocks_is_refused(tmp_path: Path, num_blocks: int):
    file = study(tmp_path / "study.json", MEANS)
    with pytest.raises(InputError, match=f"studied a model of 4 blocks, this one has {num_blocks}"):
        parse(f"best:1@{file}", num_blocks)


@pytest.mark.parametrize(
    ("success", "blocks"),
    [
        ({"0": [0.3, 0.5], "3": [0.4, 0.6]}, "1,2"),
        ({"0": [0.3, 0.5], "1": [0.3], "2": [0.2, 0.3], "3": [0.4, 0.6]}, "1"),
        ({"base": [0.1, 0.1]}, "0,1,2,3"),
    ],
)
def test_a_study_that_lacks_cells_ranks_no_block_and_tells_what_goes_on_with_it(
    tmp_path: Path, success: dict[str, list[float]], blocks: str
):
    file = study(tmp_path / "study.json", success)
    with pytest.raises(InputError) as refusal:
        parse(f"worst:1@{file}", 4)
    line = str(refusal.value)
    assert "\n" not in line
    assert f"is unfinished, and ranks nothing yet: block {blocks} lacks some" in line
    assert f"out={tmp_path} layers={blocks} seeds=0,1 full=false" in line


@pytest.mark.parametrize("name", sorted(path.parent.name for path in STUDIES.glob("*/study.json")))
def test_the_studies_that_come_with_keystone_rank_their_blocks(name: str):
    target = parse(f"best:1@{STUDIES / name / 'study.json'}", 8)
    assert target is not None
    with pytest.raises(InputError, match="studied a model of 8 blocks, this one has 28"):
        parse(f"best:1@{STUDIES / name / 'study.json'}", 28)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "is not valid JSON"),
        ('{"panels": {"p": {}}, "arms": {"1": {"success": {"p": [NaN]}}}}', "is not valid JSON"),
        ("[]", r"is not a study\.json"),
        ("{}", r"is not a study\.json"),
        ('{"blocks": 4, "panels": {}}', r"is not a study\.json"),
        ('{"blocks": 4, "panels": {"p": {}}, "arms": {"1": {}}}', r"is not a study\.json"),
        ('{"panels": {"p": {}}, "arms": {}, "seeds": []}', r"is not a study\.json"),
        ('{"blocks": [4], "panels": {"p": {}}, "arms": {}, "seeds": [0]}', r"is not a study\.json"),
    ],
)
def test_what_is_no_study_is_refused(tmp_path: Path, content: str, line: str):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(InputError, match=f"^layer=best:1@.*{line}"):
        parse(f"best:1@{tmp_path / 'study.json'}", 4)


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("99", "layer=99: the model has 8 blocks, numbered 0 to 7."),
        ("8", "layer=7."),
        ("2,3-8", "numbered 0 to 7"),
        ("-1", "layer=-1 names no layer."),
        # More digits than Python makes a number of.
        ("middle:" + "9" * 5000, "9... names no layer."),
        ("best:" + "9" * 5000 + "@study.json", "9... names no layer."),
        ("5-2", "layer=5-2 names no layer."),
        ("foo", "layer=foo names no layer. Allowed: middle, last, full, middle:K, a number 0 to 7,"),
        ("midle", "layer=midle names no layer. Did you mean 'middle'?"),
        ("", "layer= names no layer."),
        ("1,", "layer=1, names no layer."),
        ("1.5", "names no layer"),
        ("1.mpl", "unknown part of a block 'mpl'. Did you mean 'mlp'"),
        ("lora:", "names no layer"),
        ("lora:8", "numbered 0 to 7"),
        ("boost:full", "names no layer"),
        ("best:1", "names no layer"),
        ("middle:", "names no layer"),
        ("middle:0", "middle:1 to middle:8"),
        ("middle:9", "middle:1 to middle:8"),
    ],
)
def test_what_is_no_layer_is_refused_in_one_line(layer: str, line: str):
    with pytest.raises(InputError) as refusal:
        parse(layer, 8)
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="0123456789-,:. midleora", max_size=9), sizes)
def test_any_text_is_a_target_of_the_model_or_refused(layer: str, num_blocks: int):
    try:
        target = parse(layer, num_blocks)
    except InputError:
        return
    assert target is not None
    assert target.indices == tuple(sorted(set(target.indices)))
    assert set(target.indices) <= set(range(num_blocks))


@pytest.mark.parametrize("layer", ["0", "2", "0,2", "full"])
def test_select_opens_the_target_and_closes_the_rest(layer: str):
    language_model = model()
    for value in language_model.parameters():
        value.requires_grad_(True)
    target = parse(layer, 3)
    chosen = select(language_model, target)
    stack = find_stack(language_model)
    prefixes = tuple("" if target.full else stack.prefix(index) for index in target.indices)
    expected = [name for name, _ in language_model.named_parameters() if name.startswith(prefixes)]
    assert list(chosen) == expected == list(parameters(language_model, target))
    assert [name for name, value in language_model.named_parameters() if value.requires_grad] == expected
