"""Requests and answers as octets, with the library as the judge; and what goes over the pipe."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.interfaces._bacnet import wire
from gateway.interfaces._bacnet.encoding import Malformed
from gateway.interfaces._bacnet.services import (
    Refused,
    read_answer,
    read_multiple_answer,
    read_multiple_request,
    read_request,
    subscribe_request,
    write_request,
)
from gateway.interfaces._bacnet.values import Failure, Item, Ref

apdu = pytest.importorskip("bacpypes3.apdu", reason="bacpypes3 is not installed")
from bacpypes3.basetypes import (  # noqa: E402  # only where it is installed
    ErrorType,
    PropertyReference,
    ReadAccessResult,
    ReadAccessResultElement,
    ReadAccessResultElementChoice,
    ReadAccessSpecification,
)
from bacpypes3.constructeddata import AnyAtomic  # noqa: E402
from bacpypes3.primitivedata import CharacterString, Null, Real  # noqa: E402

refs = st.builds(
    Ref,
    st.integers(0, 1023),
    st.integers(0, 4194303),
    st.one_of(st.integers(0, 7), st.integers(9, 104), st.integers(106, 500)),  # 8 and 105 stand for several
    st.none() | st.integers(0, 70000),
)


def octets(sequence: object) -> bytes:
    """What the library makes of a request or answer, without its header."""
    return bytes(sequence.encode().pduData)  # type: ignore[attr-defined]


@given(refs)
def test_read_request_is_the_library_s(ref: Ref) -> None:
    """ReadProperty is encoded as bacpypes3 does it."""
    request = apdu.ReadPropertyRequest(
        objectIdentifier=(ref.object_type, ref.instance), propertyIdentifier=ref.property, propertyArrayIndex=ref.index
    )
    assert read_request(ref) == octets(request)


@given(st.lists(refs, min_size=1, max_size=10))
def test_read_multiple_request_is_the_library_s(wanted: list[Ref]) -> None:
    """ReadPropertyMultiple names each object once where its properties follow each other."""
    specifications: list[tuple[tuple[int, int], list[object]]] = []
    for ref in wanted:
        key = (ref.object_type, ref.instance)
        if not specifications or specifications[-1][0] != key:
            specifications.append((key, []))
        specifications[-1][1].append(PropertyReference(propertyIdentifier=ref.property, propertyArrayIndex=ref.index))
    request = apdu.ReadPropertyMultipleRequest(
        listOfReadAccessSpecs=[
            ReadAccessSpecification(objectIdentifier=key, listOfPropertyReferences=list(properties))
            for key, properties in specifications
        ]
    )
    assert read_multiple_request(wanted) == octets(request)


def test_write_request_is_the_library_s() -> None:
    """A value at a priority, and null to relinquish it."""
    for value, datatype, plain in ((Real(5.5), "real", 5.5), (Null(()), "null", None)):
        request = apdu.WritePropertyRequest(
            objectIdentifier=("analog-value", 7), propertyIdentifier="present-value", propertyValue=value, priority=8
        )
        assert write_request(Ref(2, 7), datatype, plain, 8) == octets(request)


def test_subscribe_request_is_the_library_s() -> None:
    """A subscription with its lifetime, and its end, which has neither lifetime nor kind of notice."""
    common = {"subscriberProcessIdentifier": 300, "monitoredObjectIdentifier": ("analog-value", 7)}
    begin = apdu.SubscribeCOVRequest(**common, issueConfirmedNotifications=True, lifetime=120)
    assert subscribe_request(300, Ref(2, 7), True, 120) == octets(begin)
    assert subscribe_request(300, Ref(2, 7), None, None) == octets(apdu.SubscribeCOVRequest(**common))


def test_answer_to_many_is_read() -> None:
    """Values and refusals come with the refs that they belong to, in the order of the device."""

    def element(number: int, index: int | None = None, **result: object) -> object:
        choice = ReadAccessResultElementChoice(**result)
        return ReadAccessResultElement(propertyIdentifier=number, propertyArrayIndex=index, readResult=choice)

    answer = apdu.ReadPropertyMultipleACK(
        listOfReadAccessResults=[
            ReadAccessResult(
                objectIdentifier=(2, 1),
                listOfResults=[
                    element(85, propertyValue=AnyAtomic(Real(1.5))),
                    element(87, 8, propertyValue=AnyAtomic(Null(()))),
                ],
            ),
            ReadAccessResult(
                objectIdentifier=(2, 9),
                listOfResults=[
                    element(85, propertyAccessError=ErrorType(errorClass="object", errorCode="unknown-object")),
                    element(77, propertyValue=AnyAtomic(CharacterString("x"))),
                ],
            ),
        ]
    )
    assert list(read_multiple_answer(octets(answer))) == [
        (Ref(2, 1), Item("real", 1.5)),
        (Ref(2, 1, 87, 8), Item("null", None)),
        (Ref(2, 9), Refused(1, 31)),
        (Ref(2, 9, 77), Item("character-string", "x")),
    ]


@given(st.binary(max_size=80))
def test_any_octets_as_an_answer_end(data: bytes) -> None:
    """Whatever comes as an answer is read to an end, or is malformed."""
    for read in (read_answer, read_multiple_answer):
        try:
            list(read(data))
        except Malformed:
            pass


@pytest.mark.parametrize("cut", range(1, 23))
def test_answers_cut_short_are_malformed(cut: int) -> None:
    """An answer that ends in the middle is never taken for a whole one."""
    whole = bytes.fromhex("0c00800001 1e 2955 4e 443fc00000 4f 2957 3908 4e 00 4f 1f".replace(" ", ""))
    assert len(list(read_multiple_answer(whole))) == 2
    with pytest.raises(Malformed):
        list(read_multiple_answer(whole[:-cut]))


answers = st.one_of(
    st.floats(allow_nan=False).map(lambda v: Item("real", v)),
    st.integers(-(2**31), 2**63).map(lambda v: Item("integer", v)),
    st.text(max_size=20)
    .filter(lambda v: not any(0xD800 <= ord(c) < 0xE000 for c in v))
    .map(lambda v: Item("character-string", v)),
    st.just(Item("list", [Item("null", None), Item("double", math.inf)])),
    st.builds(Failure, st.sampled_from(["error", "timeout"]), st.just("words")),
)


@given(st.lists(answers, max_size=5), st.lists(st.integers(1, 40), max_size=20))
def test_frames_come_whole_in_any_pieces(sent: list[Item | Failure], sizes: list[int]) -> None:
    """What was packed, framed, cut and joined again is what was sent, infinite numbers too."""
    data = b"".join(wire.frame({"answer": wire.pack_answer(answer)}) for answer in sent)
    unframer, messages, at = wire.Unframer(), [], 0
    for size in [*sizes, len(data)]:
        messages += list(unframer.feed(data[at : at + size]))
        at += size
    assert [wire.unpack_answer(message["answer"]) for message in messages] == sent


def test_broken_pipe_is_noticed() -> None:
    """A length that no frame has is the end of a pipe that is out of step."""
    with pytest.raises(wire.BadFrame):
        list(wire.Unframer().feed(b"\xff\xff\xff\xff"))
