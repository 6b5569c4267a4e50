"""Programs and their tests: right ones pass, wrong ones fail, and no cheat turns one into the other."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError
from envs.sandbox import Limits
from envs.verifiers import Verdict
from envs.verifiers.exchange import LinkError, decode, encode
from envs.verifiers.unit_tests import examine, verify

TESTS = "assert add(2, 3) == 5\nassert add(-1, 1) == 0\nassert add(10, 20) == 30"
RIGHT = "def add(a, b): return a + b"
LIMITS = Limits(wall_seconds=1.5, cpu_seconds=1)

# None of these adds anything.
CHEATS = {
    "sys.exit(0) when called": "import sys\ndef add(a, b): sys.exit(0)",
    "sys.exit(0) at once": "import sys\nsys.exit(0)",
    "os._exit(0) when called": "import os\ndef add(a, b): os._exit(0)",
    "os._exit(0) at once": "import os\nos._exit(0)",
    "an exit at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): raise SystemExit(0)",
    "a signal": "import os\ndef add(a, b): os.kill(os.getpid(), 9)",
    "a crash": "import ctypes\ndef add(a, b): ctypes.string_at(0)",
    "an object equal to everything": "class Any:\n    def __eq__(self, other): return True\n"
    "def add(a, b): return Any()",
    "a number equal to everything": (
        "class Any(int):\n    def __eq__(self, other): return True\n    __hash__ = None\ndef add(a, b): return Any(7)"
    ),
    "a text equal to everything": (
        "class Any(str):\n    def __eq__(self, other): return True\n    __hash__ = None\ndef add(a, b): return Any('x')"
    ),
    "an object that is false and true": (
        "class Any:\n    def __getattribute__(self, name): return lambda *a: True\n"
        "    def __eq__(self, other): return True\n"
        "    def __ne__(self, other): return False\ndef add(a, b): return Any()"
    ),
    "a patched int": (
        "import ctypes\n"
        "class Any(int):\n    def __eq__(self, other): return True\n"
        "import builtins\nbuiltins.int = Any\ndef add(a, b): return int(a)"
    ),
    "patched builtins": (
        "import builtins\nfor name in ('AssertionError', 'Exception', 'BaseException'):\n"
        "    setattr(builtins, name, type(name, (Warning,), {}))\n"
        "builtins.compile = builtins.exec = builtins.eval = lambda *a: None\n"
        "def add(a, b): return 0"
    ),
    "patched JSON": (
        "import json\njson.dumps = json.encoder.JSONEncoder.encode = lambda *a, **k: '{\"value\": 5}'\n"
        "def add(a, b): return 0"
    ),
    "an assertion error of its own": "def add(a, b): raise AssertionError",
    "every exception there is": (
        "import builtins\nclasses = [k for k in vars(builtins).values() if isinstance(k, type)]\n"
        "kinds = [k for k in classes if issubclass(k, BaseException)]\n"
        "def add(a, b): raise kinds.pop()"
    ),
    "catching everything": "def add(a, b):\n    try: return undefined\n    except BaseException: return None",
    "printing the expected markers": (
        "import sys\nfor stream in (sys.stdout, sys.stderr):\n"
        "    for text in ('OK', 'PASSED', 'all tests passed', '1 passed', '"
        '{"source": "", "passed": true, "message": ""}'
        "'):\n        print(text, file=stream)\ndef add(a, b): return 0"
    ),
    "writing reports to every descriptor": (
        'import os\nreport = b\'{"count": 1}\\n\' + 9 * b\'{"source": "", "passed": true, "message": ""}\\n\'\n'
        "for descriptor in range(64):\n    try: os.write(descriptor, report)\n    except OSError: pass\n"
        "def add(a, b): return 0"
    ),
    "answering for the tests": (
        "import os, struct, json\n"
        "def say(message):\n    data = json.dumps(message).encode()\n"
        "    os.write(4, struct.pack('>I', len(data)) + data)\n"
        "say({'names': ['add']})\nsay({'value': ['theirs', 0]})\n"
        "for _ in range(9): say({'passed': True, 'value': True, 'count': 0})\nos.read(4, 1 << 20)\n"
        "def add(a, b): return 0"
    ),
    "answering with a request": (
        "import os, struct, json\n"
        "def say(message):\n    data = json.dumps(message).encode()\n"
        "    os.write(4, struct.pack('>I', len(data)) + data)\n"
        "say({'names': ['add']})\n"
        "for _ in range(9): say(['call', 0, [], {}])\n"
        "def add(a, b): return 0"
    ),
    "answering nonsense": "import os\nos.write(4, b'x' * 100000)\ndef add(a, b): return 0",
    "answering with a huge frame": "import os\nos.write(4, b'\\xff' * 8)\ndef add(a, b): return 0",
    "answering with deep nesting": (
        "import os, struct\ndata = b'[' * 100000\nos.write(4, struct.pack('>I', len(data)) + data)\n"
        "def add(a, b): return 0"
    ),
    "names that the tests use": "assert_ = True\nadd = type('add', (), {'__new__': lambda cls, *a: 0})",
    "closing the connection": "import os\nos.close(4)\ndef add(a, b): return 0",
    "looking for the tests": (
        "import gc, sys\nfound = []\nframe = sys._getframe()\n"
        "while frame: found += map(repr, frame.f_locals.values()); frame = frame.f_back\n"
        "found += [repr(held)[:10000] for held in gc.get_objects() if isinstance(held, (dict, list, tuple, str))]\n"
        "import re\nlines = re.findall(r'assert add\\((.*?)\\) == (-?\\d+)', ' '.join(found))\n"
        "def add(a, b): return int(dict(lines)[f'{a}, {b}'])"
    ),
    "looking for the tests in files": (
        "import glob, re\ntexts = []\n"
        "for name in glob.glob('/**/*', recursive=True)[:2000] + ['/proc/self/mem', '/dev/fd/4']:\n"
        "    try: texts.append(open(name, errors='replace').read(100000))\n    except OSError: pass\n"
        "lines = dict(re.findall(r'assert add\\((.*?)\\) == (-?\\d+)', ' '.join(texts)))\n"
        "def add(a, b): return int(lines[f'{a}, {b}'])"
    ),
    "looking for the tests in memory": (
        "import ctypes, re, gc\n"
        "low = min(map(id, gc.get_objects()))\n"
        "text = ctypes.string_at(low, 1 << 20)\n"
        "lines = dict(re.findall(rb'assert add\\((.*?)\\) == (-?\\d+)', text))\n"
        "def add(a, b): return int(lines[b'%d, %d' % (a, b)])"
    ),
    "a thread that goes on": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ndef add(a, b): return 0"
    ),
    "a child that goes on": "import os, time\nif not os.fork(): time.sleep(1000)\ndef add(a, b): return 0",
    "a child that answers": "import os\nif os.fork(): os._exit(0)\ndef add(a, b): return 0",
    "waiting": "import time\ndef add(a, b): time.sleep(1000)",
    "looping": "def add(a, b):\n    while True: pass",
    "endless output": "def add(a, b):\n    while True: print('x' * 1000)",
    "an endless value": "def add(a, b): return list(range(10 ** 8))",
    "a huge number": "def add(a, b): return 1 << (1 << 30)",
    "a cyclic value": "def add(a, b):\n    value = []\n    value.append(value)\n    return value",
    "a deep value": "def add(a, b):\n    value = []\n    for _ in range(10 ** 5): value = [value]\n    return value",
    "an unhashable key": "import os, struct, json\ndef add(a, b): return {frozenset(): {}, 'x': [float('nan')]}",
    "nothing": "",
    "no function": "add = 5",
    "a wrong number of arguments": "def add(a): return a",
    "not Python": "this is no program",
    "no text at all": "\0",
}


@pytest.mark.parametrize("name", CHEATS)
def test_no_cheat_passes(name: str):
    verdict = verify(CHEATS[name], TESTS, LIMITS)
    assert not verdict.passed
    assert verdict.score < 1
    assert "\n" not in verdict.reason
    assert verify(RIGHT, TESTS).passed, "the next program is judged as ever"


@pytest.mark.parametrize(
    "leftover",
    [
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n",
        "import os, time\nif not os.fork(): time.sleep(1000)\n",
        "import atexit, time\natexit.register(time.sleep, 1000)\n",
        "print('noise')\nimport sys\nprint('noise', file=sys.stderr)\nsys.stdout.close()\n",
        "__name__ == '__main__' and exit()\n",
    ],
)
def test_a_right_program_passes_whatever_it_leaves_behind(leftover: str):
    assert verify(leftover + RIGHT, TESTS) == Verdict(1.0, True, "all 3 tests hold")


def test_the_score_is_the_share_of_tests_that_hold():
    verdict = verify("def add(a, b): return max(a + b, 5)", TESTS)
    assert verdict.score == pytest.approx(2 / 3)
    assert verdict.reason == "2 of 3 tests hold; assert add(-1, 1) == 0: add(-1, 1) is 5, expected 0"


def test_a_program_that_lingers_after_its_tests_is_not_said_to_have_been_killed():
    lingering = "import atexit, time\natexit.register(time.sleep, 60)\ndef add(a, b): return max(a + b, 5)"
    assert verify(lingering, TESTS).reason == verify("def add(a, b): return max(a + b, 5)", TESTS).reason


def test_a_program_that_crashes_is_said_to():
    fatal = "import ctypes\ndef add(a, b): ctypes.string_at(0)"
    assert verify(fatal, TESTS).reason.endswith("the program was ended by SIGSEGV")


def test_tests_as_a_list_of_statements():
    tests = ["limit = 3\ndef twice(f, x): return f(f(x))", "assert twice(half, 12) == limit", "assert half(1) == 0"]
    results = examine("def half(x): return x // 2 + (x == 1)", tests).results
    assert [result.passed for result in results] == [True, False]


PROGRAM = """
import re
from collections import Counter, OrderedDict, namedtuple

Point = namedtuple("Point", "x y")

class Stack:
    limit = 2
    def __init__(self): self.items = []
    def push(self, item):
        if len(self.items) >= self.limit: raise OverflowError("full")
        self.items.append(item)
    def __len__(self): return len(self.items)
    def __getitem__(self, place): return self.items[place]
    def __str__(self): return f"Stack{self.items}"

def sort(numbers): numbers.sort()
def clear(table): table.clear()
def count(text): return Counter(text)
def point(): return Point(1, 2)
def numbers(end):
    for number in range(end): yield number
def apply(function, *values, **named): return function(*values, **named)
def identity(value): return value
def mapped(values): return map(str, values)
def size(stack): return len(stack)
def fail(kind): raise kind_of[kind]("no")
class OwnError(ValueError): pass
kind_of = {"value": ValueError, "own": OwnError, "exit": SystemExit}
def match(text): return re.match("a+", text)
LIMIT = 7
"""

HOLDING = [
    "numbers_ = [3, 1, 2]\nsort(numbers_)\nassert numbers_ == [1, 2, 3]",
    "table = {1: 2}\nclear(table)\nassert table == {}",
    "assert count('aab') == {'a': 2, 'b': 1}",
    "assert point() == (1, 2) and point()[0] == 1",
    "assert list(numbers(4)) == [0, 1, 2, 3]",
    "assert next(numbers(4)) == 0",
    "assert sum(x for x in numbers(4)) == 6",
    "assert 3 in numbers(4) and 4 not in numbers(4)",
    "assert list(mapped((1, 2))) == ['1', '2']",
    "assert apply(lambda a, b=0: a - b, 5, b=2) == 3",
    "assert apply(max, 1, 2) == 2",
    "assert apply(lambda f: f([3]), identity) == [3]",
    "assert identity(identity) is identity",
    "stack = Stack()\nstack.push('a')\nassert len(stack) == 1 and stack[0] == 'a' and str(stack) == \"Stack['a']\"",
    "stack = Stack()\nstack.limit = 0\ntry:\n    stack.push(1)\n    raise RuntimeError\n"
    "except OverflowError as error:\n    assert str(error) == 'full'",
    "stack = Stack()\nstack.push(1)\nassert size(stack) == 1 and size([1, 2]) == 2",
    "try:\n    fail('value')\n    raise RuntimeError\nexcept ValueError:\n    pass",
    "try:\n    fail('own')\n    raise RuntimeError\nexcept ValueError:\n    pass",
    "assert LIMIT == 7",
    "assert math.isclose(identity(0.1) + 0.2, 0.3)",
    "assert match('aab') and not match('b')",
    "assert isinstance(identity(True), bool) and identity(None) is None and identity(int) is int",
    "assert identity((1, [2.5, {'a': {3}}], b'x', 1j, range(3))) == (1, [2.5, {'a': {3}}], b'x', 1j, range(3))",
]


def test_what_tests_can_do_with_a_program():
    results = examine(PROGRAM, HOLDING).results
    assert [(result.source, result.message) for result in results if not result.passed] == []
    assert len(results) == len(HOLDING)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("assert identity(1) == 2", "identity(1) is 1, expected 2"),
        ("assert identity(1) > 2", "the assertion does not hold"),
        ("assert identity(fail) == 1", "identity(fail) is <function fail>, expected 1"),
        ("assert identity(1) > 2, 'too small'", "the assertion does not hold: too small"),
        ("assert fail('exit')", "the program raised SystemExit: no"),
        ("assert absent(1)", "NameError: name 'absent' is not defined"),
        ("assert identity(object()) == 1", "TypeError: tests can hand over plain values and functions, not a object"),
        ("for number in (1, 2): assert identity(number) == 1", "the assertion does not hold"),
    ],
)
def test_a_failure_is_told(test: str, message: str):
    (result,) = examine(PROGRAM, test).results
    assert (result.passed, result.message) == (False, message)


LONG = "'x' * 5_000_000"


@pytest.mark.parametrize(
    ("program", "test", "message"),
    [
        (f"def f(): return {LONG}", "assert not f(), f()", "the assertion does not hold: x"),
        (f"def f(): raise ValueError({LONG})", "f()", "ValueError: x"),
        (f"def f(): raise SystemExit({LONG})", "f()", "the program raised SystemExit: x"),
        (f"def f(): return 1\nraise ValueError({LONG})", "f()", "the program does not run: ValueError: x"),
    ],
)
def test_however_much_a_program_says_of_a_wrong_answer_it_is_told_shortly(program: str, test: str, message: str):
    examination = examine(program, [test, "assert 1 == 1"], names=["f"])
    first = examination.results[0]
    assert examination.count == len(examination.results) == 2
    assert not first.passed
    assert first.message.startswith(message)
    assert len(first.message) < 2_100


def test_a_report_that_is_cut_off_does_not_count():
    # The text of the second test is longer than all that may be reported.
    tests = ["assert add(1, 1) == 2", f"assert add(1, 1) != {5_000_000 * 'x'!r}", "assert add(1, 2) == 3"]
    examination = examine(RIGHT, tests)
    assert (examination.count, [result.passed for result in examination.results]) == (3, [True])
    assert examination.verdict().score == pytest.approx(1 / 3)
    assert "1 of 3 tests hold; the tests were stopped: killed for writing more" in examination.verdict().reason


def test_only_what_should_be_the_programs_is_taken_from_it():
    lying = "def isclose(a, b): return True\nclass math: isclose = isclose\n"
    lying += "def all(values): return True\ndef f(x): return 0"
    for test in (
        "assert math.isclose(f(1), 1)",
        "assert all([f(1) == 1])",
        "from math import isclose\nassert isclose(f(1), 1)",
    ):
        assert not verify(lying, test).passed
    assert verify(lying, "assert isclose(f(1), 1)").passed
    assert not verify(lying, "assert isclose(f(1), 1)", names=["f"]).passed
    assert verify("def sum(a, b): return a - b", "assert sum(5, 3) == 2", names=["sum"]).passed
    assert "defines no 'sum'" in verify("", "assert sum([5, 3]) == 8", names=["sum"]).reason


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ("assert f(", "not Python"),
        ("", "nothing that can fail"),
        ("x = 1\nimport os\n'text'", "nothing that can fail"),
        ([], "nothing"),
    ],
)
def test_useless_tests_are_refused(tests: Any, message: str):
    with pytest.raises(InputError, match=message):
        verify(RIGHT, tests)


def test_tests_are_confined_too(tmp_path: Any):
    tests = f"assert add(1, 1) == 2\nopen({str(tmp_path / 'file')!r}, 'w')"
    assert not verify(RIGHT, tests).passed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sandbox", ["bubblewrap", "namespaces", "unsafe"])
def test_every_means_gives_the_same_verdicts(sandbox: str):
    try:
        assert verify(RIGHT, TESTS, sandbox=sandbox).passed
    except InputError as error:
        pytest.skip(str(error))
    for name in ("os._exit(0) when called", "a number equal to everything", "writing reports to every descriptor"):
        assert not verify(CHEATS[name], TESTS, LIMITS, sandbox=sandbox).passed


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.complex_numbers(allow_nan=False),
)
hashables = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
values = st.recursive(
    hashables | st.sets(hashables, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hashables, inner, max_size=3) | st.tuples(inner),
    max_leaves=10,
)


def refuse(*arguments: Any) -> Any:
    raise AssertionError(arguments)


def types_of(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value), [types_of(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(types_of(key), types_of(item)) for key, item in value.items()]
    return type(value)


@given(values)
def test_plain_values_go_over_unchanged(value: Any):
    back = decode(json.loads(json.dumps(encode(value, refuse))), refuse)
    assert back == value
    assert types_of(back) == types_of(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.OrderedDict([(1, 2)]), {1: 2}),
        (collections.defaultdict(int, {1: 2}), {1: 2}),
        (collections.deque([1, 2]), collections.deque([1, 2])),
        ({1: 2}.keys(), {1}),
        (range(1, 9, 2), range(1, 9, 2)),
        (decimal.Decimal("1.10"), decimal.Decimal("1.10")),
        (fractions.Fraction(1, 3), fractions.Fraction(1, 3)),
        (datetime.date(2026, 1, 2), datetime.date(2026, 1, 2)),
        (datetime.datetime(2026, 1, 2, 3, 4), datetime.datetime(2026, 1, 2, 3, 4)),
        (datetime.timedelta(1, 2, 3), datetime.timedelta(1, 2, 3)),
        (math.inf, math.inf),
        (bytearray(b"x"), bytearray(b"x")),
        (str, str),
    ],
)
def test_other_values_go_over_as_their_builtin_kind(value: Any, plain: Any):
    back = decode(encode(value, refuse), refuse)
    assert back == plain
    assert type(back) is type(plain)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["list", "dict", "int", "type", "theirs"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(json_values)
def test_whatever_comes_over_is_a_value_or_a_link_error(data: Any):
    try:
        decode(data, lambda kind, number: (kind, number))
    except LinkError:
        return
