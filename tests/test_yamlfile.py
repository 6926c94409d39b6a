from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.yamlfile import MAX_BYTES, BadYaml, read


def test_every_key_and_item_knows_its_line():
    """The line of a key, of a list item and of a key inside an item is the one that a person sees."""
    document = read(b"a:\n  b:\n  - 1\n  - c: 2\n# note\nd: [3]\n")
    assert document.value == {"a": {"b": [1, {"c": 2}]}, "d": [3]}
    lines = {("a",): 1, ("a", "b"): 2, ("a", "b", 0): 3, ("a", "b", 1, "c"): 4, ("d",): 6}
    assert {at: document.line(at) for at in lines} == lines


def test_a_location_that_is_not_there_gives_the_line_around_it():
    """The line of a missing key is that of the mapping that should hold it."""
    assert read(b"\na:\n  b: 1\n").line(("a", "c")) == 2


@pytest.mark.parametrize(
    ("content", "line", "word"),
    [
        (b"a: 1\na: [\n", 3, "not YAML"),
        (b"a: 1\nb: c: d\n", 2, "not YAML"),
        (b"--- 1\n--- 2\n", 2, "not YAML"),
        (b"a: *x\n", 1, "alias"),
        (b"a: 1\nb: \xff\n", 2, "UTF-8"),
        (b"a: \x00\n", 0, "not YAML"),
        (b"[" * 100_000, 0, "deeply"),
        (b"#" * (MAX_BYTES + 1), 0, "bytes"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(content, line, word):
    """A text that is no document is refused with a reason and, where there is one, the line."""
    with pytest.raises(BadYaml, match=word) as caught:
        read(content)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a: 1\nb: 2\na: 3\n", (3, 'the key "a" stands twice')),
        (b"a: &x [1]\nb: *x\n", (1, "aliases (*name) are not accepted: write the value out")),
        (b"a: !python/name x\n", (1, "the tag !python/name is not accepted")),
        (b"!map\na: 1\n", (1, "the tag !map is not accepted")),
        (b"a: !!int x\n", (1, "not a valid int")),
        (b'a: "\\uD800"\n', (1, "not a valid str")),
        (b"? [a]\n: 1\n", (1, "a key is printable text")),
    ],
)
def test_faults_of_form_are_collected_with_their_lines(content, fault):
    """Duplicate keys, aliases, tags and values that can not be read are faults, not exceptions."""
    assert read(content).faults == [fault]


def test_a_billion_laughs_stay_small():
    """Aliases of aliases are refused at the first, and cost nothing."""
    bombs = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 40))
    assert len(read(f"l0: &l0 [x]\n{bombs}\n".encode()).faults) == 39 * 9


@given(st.one_of(st.binary(max_size=60), st.text("ab:-[]{}#&*!|>'\"\n\t ", max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused(content):
    """No content raises anything but BadYaml."""
    try:
        read(content)
    except BadYaml:
        pass
