"""Worked problems in GSM8K's form, made up, no two alike."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

NAMES = [
    "Ada",
    "Bela",
    "Carl",
    "Dora",
    "Emil",
    "Fritz",
    "Gerda",
    "Hugo",
    "Ines",
    "Jan",
    "Karl",
    "Lena",
    "Mona",
    "Nils",
    "Olga",
    "Paul",
]
THINGS = [
    "apples",
    "marbles",
    "stamps",
    "coins",
    "shells",
    "pencils",
    "tickets",
    "buttons",
    "candles",
    "bricks",
    "ribbons",
    "cards",
]
PLACES = ["market", "harbour", "library", "bakery", "museum", "station", "garden", "theatre", "workshop", "stadium"]


def worked(number: int) -> dict[str, Any]:
    """A problem of four steps, each of which needs the one before."""
    rng = random.Random(number)
    name, other = rng.sample(NAMES, 2)
    thing, place = rng.choice(THINGS), rng.choice(PLACES)
    boxes, each, sold, friends = rng.randint(13, 29), rng.randint(31, 49), rng.randint(101, 190), rng.randint(3, 9)
    while (boxes * each - sold) % friends:
        sold += 1
    price = rng.randint(51, 89)
    have, rest = boxes * each, boxes * each - sold
    share = rest // friends
    return {
        "question": f"{name} takes {boxes} boxes with {each} {thing} each to the {place} and sells {sold} of the "
        f"{thing} there. The rest is shared among {friends} friends, and {other}, one of them, sells the own "
        f"share for {price} cents a piece. How many cents does {other} get?",
        "answer": f"{name} has {boxes}*{each}=<<{boxes}*{each}={have}>>{have} {thing}.\n"
        f"After selling there are {have}-{sold}=<<{have}-{sold}={rest}>>{rest} {thing} left.\n"
        f"Each friend gets {rest}/{friends}=<<{rest}/{friends}={share}>>{share} {thing}.\n"
        f"{other} gets {share}*{price}=<<{share}*{price}={share * price}>>{share * price} cents.\n"
        f"#### {share * price}",
    }


@pytest.fixture(scope="session")
def problems() -> Callable[[int], list[dict[str, Any]]]:
    """So many worked problems."""
    return lambda count: [worked(number) for number in range(count)]
