"""What people open by fsspec: each library writes through us and reads what another wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import file_keeper as fk
import pytest
from file_keeper_fsspec import FileKeeperFileSystem

pytest.importorskip("pandas", reason="the group data is not installed: uv run --group data")
pytestmark = pytest.mark.full

ROWS = {"name": ["ä", "b", "c"], "count": [1, 2, 3]}


@pytest.fixture(params=["fs", "s3"])
def configured(
    request: pytest.FixtureRequest,
    fresh_settings: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[fk.Storage]:
    """A storage `lake` of the configuration file, which addresses name."""
    settings = fresh_settings(request.param)
    config = tmp_path / "storages.json"
    config.write_text(json.dumps({"storages": {"lake": settings}}))
    monkeypatch.setenv("FILE_KEEPER_CONFIG", str(config))
    monkeypatch.setattr("file_keeper.registry._named", {})
    with fk.get_storage("lake") as storage:
        yield storage


@pytest.fixture
def fs(configured: fk.Storage) -> FileKeeperFileSystem:
    return FileKeeperFileSystem(configured)


def test_pandas(configured: fk.Storage):
    import pandas as pd

    frame = pd.DataFrame(ROWS)
    frame.to_csv("filekeeper://lake/t/a.csv", index=False)
    frame.to_parquet("filekeeper://lake/t/a.parquet")
    assert configured.content("t/a.csv").decode().splitlines()[1] == "ä,1"
    assert pd.read_csv("filekeeper://lake/t/a.csv").equals(frame)
    assert pd.read_parquet("filekeeper://lake/t/a.parquet")["count"].sum() == 6
    with pytest.raises(FileNotFoundError):
        pd.read_csv("filekeeper://lake/none.csv")


def test_pyarrow_datasets(fs: FileKeeperFileSystem):
    import pyarrow as pa
    import pyarrow.dataset as ds

    table = pa.table({"year": [2025, 2025, 2026], "value": [1, 2, 3]})
    ds.write_dataset(table, "lake/set", format="parquet", partitioning=["year"], filesystem=fs)
    assert len(fs.glob("lake/set/*/*.parquet")) == 2
    read = ds.dataset("lake/set", format="parquet", partitioning=["year"], filesystem=fs)
    assert read.to_table(filter=ds.field("year") == 2025).num_rows == 2


def test_polars(configured: fk.Storage, fs: FileKeeperFileSystem):
    import polars as pl

    frame = pl.DataFrame(ROWS)
    with fs.open("lake/p.parquet", "wb") as file:
        frame.write_parquet(file)
    with fs.open("lake/p.parquet", "rb") as file:
        assert pl.read_parquet(file).equals(frame)


def test_dask_reads_what_pandas_wrote(configured: fk.Storage):
    import dask.dataframe as dd
    import pandas as pd

    for number in range(3):
        pd.DataFrame({"n": [number] * 10}).to_csv(f"filekeeper://lake/many/{number}.csv", index=False)
    frame = dd.read_csv("filekeeper://lake/many/*.csv")
    assert int(frame["n"].sum().compute(scheduler="threads")) == 30
    frame.to_parquet("filekeeper://lake/out")
    assert len(pd.read_parquet("filekeeper://lake/out")) == 30


def test_zarr(fs: FileKeeperFileSystem, configured: fk.Storage):
    import numpy as np
    import zarr
    from zarr.storage import FsspecStore

    values = np.arange(10_000).reshape(100, 100)
    inside = FileKeeperFileSystem(configured, asynchronous=True)
    array = zarr.create_array(FsspecStore(inside, path="lake/z"), shape=values.shape, chunks=(50, 50), dtype="i8")
    array[:] = values
    again = zarr.open_array(FsspecStore(inside, path="lake/z"), mode="r")
    assert (np.asarray(again[20:30, 40:60]) == values[20:30, 40:60]).all()
    assert len(fs.find("lake/z")) == 5


def test_duckdb(fs: FileKeeperFileSystem, configured: fk.Storage):
    import duckdb
    import pandas as pd

    pd.DataFrame(ROWS).to_parquet("filekeeper://lake/d.parquet")
    with duckdb.connect() as connection:
        connection.register_filesystem(fs)
        found = connection.execute("select sum(count) from read_parquet('filekeeper://lake/d.parquet')").fetchall()
    assert found == [(6,)]


def test_universal_pathlib(configured: fk.Storage):
    from upath import UPath

    path = UPath("filekeeper://lake/u/ü.txt")
    path.write_text("text", encoding="utf-8")
    assert (path.read_text(encoding="utf-8"), path.exists(), path.stat().st_size) == ("text", True, 4)
    assert [one.name for one in path.parent.iterdir()] == ["ü.txt"]
    path.unlink()
    assert list(configured.scan()) == []
