"""Points that are made up for the contract: clusters of vectors, payloads with gaps and hostile text."""

import random
from datetime import date

import numpy as np
from cohorts.connectors.base import Points, Vectors

DIM = 16
FIELDS = {"age": float, "n": int, "sex": str, "died": bool, "admitted": date, "codes": list[str]}
ODD_NAMES = [
    "Admission Type",
    "admission type",
    "a.b",
    "chunk-no",
    "Größe (cm), 日",
    "x[0]",
    "it's",
    "id",
    "1st",
    "x" * 251,
]
HOSTILE = [
    "F",
    "' or 1=1 --",
    '" or age > 0 or "',
    "\\",
    "a\\'b",
    "é\n\t",
    "null",
    "%",
    "{}",
    "'",
    '"',
    "E11",
    "$x",
]
NASTY = [
    "\\n",
    "\\u0041",
    "\\x00",
    "\r\n",
    "\u2028",
    "\x7f",
    "\u200b",
    "\u202e",
    "e\u0301",
    "é",
    "𝔘",
    "🩺",
    " ",
    "  x ",
    "\t",
    "``",
    "--",
    "/*",
    ";",
    "(",
    ")",
    "[]",
    "[0]",
    "$meta",
    '{"a": 1}',
    "{{x}}",
    "%s",
    "%%",
    "true",
    "NULL",
    "0",
    "1e5",
    "-1",
    "in [",
    "or f_age > 0",
    "not (",
    "like '%'",
    "array_contains(",
    'id != ""',
    "\\'",
    '\\"',
    "<b>",
    "&amp;",
    "../..",
    "a,b",
    "a|b",
    "*",
    "?",
]


def cloud(n: int, dim: int = DIM, seed: int = 0) -> Vectors:
    """Return (n, dim) float32 unit rows in clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, dim))
    rows = centres[rng.integers(0, 20, n)] + rng.normal(scale=0.6, size=(n, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def payloads(n: int, seed: int = 0) -> list[dict[str, object]]:
    rng = random.Random(seed)

    def maybe(value: object) -> object:
        return None if rng.random() < 0.2 else value

    return [
        {
            "age": maybe(float(rng.randint(18, 90))),
            "n": maybe(rng.randint(-3, 3)),
            "sex": maybe(rng.choice(HOSTILE)),
            "died": maybe(rng.random() < 0.3),
            "admitted": maybe(f"21{rng.randint(0, 3):02}-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}"),
            "codes": maybe(rng.sample(HOSTILE, rng.randint(0, 3))),
            "title": "not to filter by",
        }
        for _ in range(n)
    ]


def hostile_strings(many: int) -> list[str]:
    """Return different strings of what ends, bends or escapes a literal somewhere."""
    pieces = [*HOSTILE, *NASTY]
    rng = random.Random(0)
    made = dict.fromkeys(pieces)
    while len(made) < many:
        made["".join(rng.choices(pieces, k=rng.randint(1, 6)))] = None
    return list(made)[:many]


def points(n: int, seed: int = 0) -> Points:
    return Points([str(10_000 + i) for i in range(n)], cloud(n, seed=seed), payloads(n, seed))  # type: ignore[arg-type]
