"""Experiments of `cohorts bench`: what is read, what is refused and with which words, and the cells that follow."""

import contextlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench_answers import experiment_from
from cohorts.connectors.index import Annoy, Hnsw, Ivf, SearchParams
from cohorts.errors import CohortsError, InputError
from cohorts.harness.bench.load.churn import Churn
from cohorts.harness.bench.load.modes import Closed, Mode, Open, Single
from cohorts.harness.bench.plan import matrix
from cohorts.harness.bench.plan.experiment import FromFile, Share, Synthetic, read_experiment, rows_each
from cohorts.harness.bench.plan.matrix import asked, builds, cells, schedule
from hypothesis import given
from hypothesis import strategies as st

WHOLE = """
name = "engines"
seed = 1
repeats = 2
queries = 50
k = [10, 100]
clients = [1, 2]
rates = [50, 0.5]
seconds = 2
[data]
rows = 5_000
dim = 16
clusters = 20
[filters]
selectivities = [0.5, 0.001]
correlated = [false, true]
[[store]]
name = "Qdrant server"
address = "qdrant+grpc://127.0.0.1:6334?timeout_s=9"
[[store]]
name = "annoy"
address = "reference:annoy"
[[index]]
build = "hnsw:m=8,ef_construction=40"
search = ["ef_search=16", "ef_search=64"]
stores = ["Qdrant server"]
[[index]]
build = "annoy"
"""
WRITTEN = WHOLE.replace("rates = [50, 0.5]", "rates = [50, 0.5]\nwrites = [20, 500]")
LEAST = """
name = "least"
k = [10]
[data]
file = "vectors.hdf5"
[[store]]
name = "s"
address = "qdrant:store"
[[index]]
build = "flat"
"""


@pytest.mark.parametrize("index", ["flat", "hnsw:quantization=scalar"])
def test_a_library_is_not_asked_for_an_index_that_it_lacks(tmp_path: Path, index: str) -> None:
    text = WHOLE.replace("reference:annoy", "reference:faiss").replace(
        'build = "annoy"', f'build = "{index}"'
    )
    with pytest.raises(InputError, match="'annoy' has no index that it can build"):
        experiment_from(tmp_path, text)


def test_everything_that_is_written_is_read(tmp_path: Path) -> None:
    found = experiment_from(tmp_path, WHOLE)
    assert (found.name, found.seed, found.repeats, found.queries, found.seconds) == ("engines", 1, 2, 50, 2)
    assert (found.k, found.clients, found.rates) == ((10, 100), (1, 2), (50, 0.5))
    assert found.data == Synthetic(5_000, 16, 20)
    assert found.filters == tuple(Share(s, how) for how in (False, True) for s in (0.5, 0.001))
    assert found.filters[3].column == "correlated_0_001"
    assert [store.reference for store in found.stores] == [False, True]
    hnsw, annoy = found.plans
    assert (hnsw.index, hnsw.default, hnsw.stores) == (Hnsw(8, 40), False, ("Qdrant server",))
    assert hnsw.searches == (SearchParams(ef_search=16), SearchParams(ef_search=64))
    assert (annoy.index, annoy.default, annoy.stores) == (Annoy(), True, ("Qdrant server", "annoy"))
    assert annoy.searches == (SearchParams(),)


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    found = experiment_from(tmp_path, LEAST)
    assert found.data == FromFile(tmp_path / "vectors.hdf5")
    assert (found.seed, found.repeats, found.queries, found.seconds, found.settle) == (0, 3, 1_000, 5, 75)
    assert (found.clients, found.rates, found.writes, found.filters) == ((), (), (), ())
    assert (found.payload, found.index_fields) == (True, None)


def test_a_reference_library_gets_only_the_indexes_that_it_has(tmp_path: Path) -> None:
    found = experiment_from(tmp_path, WHOLE + '[[index]]\nbuild = "ivf:nlist=32"\n')
    pairs = {(build.store.name, type(build.index)) for build in builds(found)}
    assert pairs == {("Qdrant server", kind) for kind in (Hnsw, Annoy, Ivf)} | {("annoy", Annoy)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 1", "sede = 1", "it holds 'sede', which is not known; known are name, seed"),
        (
            "dim = 16",
            "dims = 16",
            r"\[data\] can't be used: it holds 'dims', which is not known; known are rows, dim, clusters",
        ),
        (
            "clusters = 20",
            'clusters = 20\nfile = "x.npy"',
            r"\[data\] can't be used: it holds 'rows', which is not known; known are file",
        ),
        ("dim = 16\n", "", r"\[data\] can't be used: it lacks dim"),
        ("selectivities = [0.5, 0.001]\n", "", r"\[filters\] can't be used: it lacks selectivities"),
        ("seed = 1", "seed = 2020-01-01", "seed is a date; it must be a whole number"),
        ("k = [10, 100]", "k = []", "k is empty"),
        ("k = [10, 100]", "k = 10", "k is a whole number; it must be a list"),
        ("k = [10, 100]", "k = [10, 0]", r"k\[1\] is 0; it must be a whole number from 1 to 16,384"),
        ("k = [10, 100]", "k = [10, true]", r"k\[1\] is true or false; it must be a whole number"),
        ("k = [10, 100]", "k = [10, 10]", "k holds 10 twice"),
        ("k = [10, 100]", "k = [5_001]", "there are 5,000 rows"),
        ("clients = [1, 2]", "clients = []", "clients is empty"),
        (
            "rates = [50, 0.5]",
            "rates = [-1]",
            r"rates\[0\] is -1; it must be a number above 0 and at most 1e\+06",
        ),
        (
            "rates = [50, 0.5]",
            "rates = [50]\nwrites = [0]",
            r"writes\[0\] is 0; it must be a number above 0",
        ),
        ("rates = [50, 0.5]", "rates = [50]\nwrites = 9", "writes is a whole number; it must be a list"),
        ("seed = 1", "payload = 1", "payload is a whole number; it must be true or false"),
        ("seed = 1", 'index_fields = ["age", "age"]', "index_fields holds 'age' twice"),
        ("seed = 1", 'payload = false\nindex_fields = ["age"]', "without a payload no field can be indexed"),
        ("rates = [50, 0.5]", "writes = [9]", "writes go on beside queries that arrive at a rate. Add rates"),
        (
            "rates = [50, 0.5]",
            "rates = [50]\nwrites = [501]",
            "501 writes per second for 2 s write 501 rows .* may be a tenth, .* Take fewer writes",
        ),
        ("k = [10, 100]", "writes = [2]\nk = [4_997]", "k = 4,997 must be left"),
        ("repeats = 2", "repeats = 2.0", "repeats is a number; it must be a whole number"),
        ("seconds = 2", 'seconds = "2"', "seconds is text; it must be a number"),
        ("seconds = 2", "settle = -1", "settle is -1; it must be a whole number from 0 to 3,600"),
        ("seconds = 2", "seconds = nan", "seconds is no finite number; it must be a number"),
        ('name = "engines"', 'name = ""', "name is empty"),
        ('name = "engines"', 'name = "../.."', "can't name a folder"),
        ("clusters = 20", "clusters = 5_001", "5,001 clusters are more than 5,000 rows"),
        ("0.001]", "0.0001]", "selectivity 0.0001 passes none of 5,000 rows"),
        ("0.001]", "1.0]", r"selectivities\[1\] is 1; it must be between 0 and 1, both left out"),
        (
            "correlated = [false, true]",
            "correlated = [0]",
            r"correlated\[0\] is a whole number; it must be true or false",
        ),
        (
            "selectivities",
            "selectivity",
            "it holds 'selectivity', which is not known; known are selectivities",
        ),
        ('name = "annoy"', 'name = "Qdrant  Server"', "two stores"),
        ("reference:annoy", "reference:hnswlib", "reference:faiss, reference:annoy"),
        ("reference:annoy", "somewhere", "no address of a store"),
        ("reference:annoy", "memory:", "holds nothing beyond the process"),
        ("qdrant+grpc:", "qdrant+ftp:", "no scheme of a server"),
        (
            'name = "annoy"',
            'name = "annoy"\nport = 1',
            r"store\[1\] holds 'port', which is not known; known are name, address",
        ),
        ('build = "annoy"', 'build = "ivf"', "'annoy' has no index that it can build"),
        ('build = "annoy"', 'build = "ivf"\nstores = ["annoy"]', "reference:annoy has no ivf"),
        ('build = "annoy"', 'build = "tree"', "no index 'tree'"),
        ('build = "annoy"', 'build = "annoy"\nstores = ["other"]', "no store 'other'"),
        ('build = "annoy"', 'build = "annoy"\nsearch = ["nprobe=3"]', "nprobe has no meaning for annoy"),
        ('build = "annoy"', 'build = "annoy:trees=3"', "no setting of Annoy"),
        ('build = "annoy"', 'build = "annoy"\n[[index]]\nbuild = "annoy:n_trees=100"', "there twice for"),
        ('"ef_search=64"', '"ef_search= 16"', "is there twice"),
        ("[data]", "[data", "can't be read"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert WHOLE.count(old) == 1 or old == "[data]"
    with pytest.raises(InputError, match=message):
        experiment_from(tmp_path, WHOLE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("table", "message"),
    [("[[index]]", "it lacks index"), ("[[store]]", "it lacks store")],
)
def test_an_experiment_needs_stores_and_indexes(tmp_path: Path, table: str, message: str) -> None:
    before, _, rest = LEAST.partition(table)
    kept = before + "".join(rest.partition("[[index]]")[1:]) if table == "[[store]]" else before
    with pytest.raises(InputError, match=message):
        experiment_from(tmp_path, kept)
    with pytest.raises(InputError, match="can't be read"):
        read_experiment(tmp_path / "nowhere.toml")


@given(
    key=st.sampled_from(
        ["name", "seed", "repeats", "queries", "k", "clients", "rates", "writes", "seconds", "settle"]
    ),
    value=st.recursive(
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    ),
)
def test_no_value_ends_in_an_error_that_is_not_ours(
    key: str, value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shown = json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf").replace("\x7f", "?")
    text = re.sub(rf"(?m)^{key} = .*$", lambda _: f"{key} = {shown}", WRITTEN, count=1)
    with contextlib.suppress(CohortsError):
        experiment_from(tmp_path_factory.mktemp("experiment"), text)


def test_cells_are_all_that_is_asked_and_each_has_a_path_of_its_own(tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, WHOLE)
    build = next(build for build in builds(experiment) if build.index == Hnsw(8, 40))
    found = cells(experiment, build, 1)
    # 2 searches × 2 k × (no filter, 4 filters, 2 client counts, 2 rates)
    assert Counter(type(cell.mode) for cell in found) == {Single: 20, Closed: 8, Open: 8}
    assert all(cell.where is None for cell in found if not isinstance(cell.mode, Single))
    everything = [cell for turn in schedule(experiment) for cell in turn.cells]
    paths = {str(cell.path) for cell in everything}
    assert len(paths) == len(everything) == 2 * (36 + 18 + 18)
    assert (
        "qdrant-server/hnsw,m=8,ef_construction=40,quantization=none/ef_search=16/k=10/correlated_0_001/single/repeat=2"
    ) in paths
    assert "annoy/annoy,n_trees=100/default/k=100/unfiltered/open,rate=0.5/repeat=1" in paths
    assert len({path.lower() for path in paths}) == len(paths)  # some file systems fold case
    assert set("".join(paths)) <= set("abcdefghijklmnopqrstuvwxyz0123456789_=,.-/")


def test_the_order_is_random_and_follows_from_the_seed(tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, WHOLE.replace("repeats = 2", "repeats = 8"))
    turns = schedule(experiment)
    assert turns == schedule(experiment)
    assert turns != schedule(
        experiment_from(tmp_path, WHOLE.replace("repeats = 2", "repeats = 8").replace("seed = 1", ""))
    )
    assert len(turns) == len(builds(experiment)) == len({turn.build.path for turn in turns})
    first = turns[0]
    assert [cell.repeat for cell in first.cells] == sorted(cell.repeat for cell in first.cells)
    within = [
        tuple(str(cell.setting) for cell in first.cells if cell.repeat == repeat) for repeat in range(1, 9)
    ]
    assert len(set(within)) == 8
    assert len({frozenset(settings) for settings in within}) == 1


def test_writes_are_crossed_with_rates_and_come_last(tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, WRITTEN)
    assert experiment.writes == (20, 500)
    assert [rows_each(writes, experiment.seconds) for writes in (20, 500, 0.1)] == [20, 500, 1]
    for turn in schedule(experiment):
        modes = [cell.mode for cell in turn.cells if cell.search == turn.build.searches[0] and cell.k == 10]
        written = [mode for mode in modes if isinstance(mode, Churn)]
        assert len(written) == len(set(written)) * experiment.repeats
        assert {(mode.rate, mode.writes) for mode in written} == {
            (rate, writes) for rate in (50, 0.5) for writes in (20, 500)
        }
        assert modes[-len(written) :] == written
        repeats = [cell.repeat for cell in turn.cells if isinstance(cell.mode, Churn)]
        assert repeats == sorted(repeats)
        for cell in turn.cells:
            if isinstance(cell.mode, Churn):
                assert cell.where is None
                assert cell.measurable != turn.build.store.reference
    paths = {str(cell.path) for turn in schedule(experiment) for cell in turn.cells}
    assert "qdrant-server/annoy,n_trees=100/default/k=10/unfiltered/open,rate=0.5,writes=20/repeat=1" in paths


def test_what_was_asked_is_told_without_the_address(tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, WHOLE)
    told = [asked(experiment, cell, None) for turn in schedule(experiment) for cell in turn.cells]
    assert len({str(sorted(one.items(), key=str)) for one in told}) == len(told)
    single = next(one for one in told if one["mode"] == "single" and one["default_build"])
    assert single["seconds"] is None
    assert single["default_search"] is True
    assert not any("address" in one for one in told)  # a server may have another port tomorrow


def test_a_new_mode_is_a_new_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Burst(Mode):
        kind = "burst"
        axes = ("clients", "rates")
        clients: int
        rate: float

    monkeypatch.setattr(matrix, "MODES", (*matrix.MODES, Burst))
    experiment = experiment_from(tmp_path, WHOLE)
    found = [cell for cell in cells(experiment, builds(experiment)[0], 1) if type(cell.mode) is Burst]
    assert {cell.mode.label for cell in found} == {
        f"burst,clients={clients},rate={rate}" for clients in (1, 2) for rate in ("50", "0.5")
    }
    assert {(cell.where, asked(experiment, cell, None)["seconds"]) for cell in found} == {(None, 2.0)}
