from __future__ import annotations

import pytest

from tracker.core.edits import Edit, Plan, Slot, in_order


def edit(start: int, end: int, literal: str = "") -> Edit:
    return Edit(start, end, Slot.LITERAL, literal=literal)


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([], "0123456789"),
        ([(2, 4, "ab")], "01ab456789"),
        ([(4, 6, "b"), (0, 2, "a")], "a23b6789"),
        ([(3, 3, "a"), (3, 3, "b")], "012ab3456789"),
        ([(10, 10, "z"), (0, 0, "a")], "a0123456789z"),
        ([(2, 6, "a"), (4, 8, "b")], "01a6789"),
        ([(2, 4, "a"), (2, 4, "b")], "01a456789"),
        ([(2, 4, "a"), (4, 6, "b")], "01ab6789"),
        ([(2, 4, "b"), (2, 2, "a")], "01ab456789"),
    ],
)
def test_edits_apply_in_order_and_the_first_of_two_that_overlap_holds(
    edits: list[tuple[int, int, str]], expected: str
) -> None:
    plan = Plan("0123456789", in_order(edit(*each) for each in edits))
    assert plan.splice(lambda each: each.literal) == expected


def test_a_body_without_edits_is_the_same() -> None:
    source = "a\r\nb"
    assert Plan(source, ()).splice(lambda edit: "never") == source
