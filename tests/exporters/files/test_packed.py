import hashlib
import zlib

import h5py
import netCDF4
import numpy as np
import pytest
from deflate import zlib_compress

from cathodegrain.exporters.files.packed import LABELS, NUMBERS, create_packed, write_chunks

# of libdeflate 1.20 to 1.25
HASHES = {
    LABELS: "8ca9129d3bc7c11e26bfeb1891f740bd0690150a73433863551b38a6e896440e",
    NUMBERS: "d16b2dc5925586c954a4c17abd71ede6292e60208f6214f5fa6eb85b9983a97b",
}
SHAPE, CHUNKS = (130, 70, 65), (64, 64, 64)


@pytest.fixture
def volume(rng):
    seeds = rng.uniform(0, SHAPE, (40, 3))
    points = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    return 1 + np.linalg.norm(points[..., None, :] - seeds, axis=-1).argmin(-1).astype(np.int32)


@pytest.fixture
def path(volume, tmp_path):
    path = tmp_path / "volume.h5"
    with h5py.File(path, "w") as file:
        for name, data in (("id", volume), ("flag", (volume % 2).astype(np.int8))):
            dataset = create_packed(file, name, SHAPE, data.dtype, CHUNKS, LABELS)
            for start in (0, 64, 128):
                write_chunks(dataset, start, data[start : start + 64])
    return path


def test_every_reader_of_hdf5_unpacks_the_volume(volume, path):
    with h5py.File(path) as file:
        assert (file["id"].compression, file["id"].chunks) == ("gzip", CHUNKS)
        np.testing.assert_array_equal(file["id"], volume)
        np.testing.assert_array_equal(file["flag"], volume % 2)
        np.testing.assert_array_equal(file["id"][60:70, 60:66, 64], volume[60:70, 60:66, 64])
    with netCDF4.Dataset(path) as file:
        np.testing.assert_array_equal(file["id"][:], volume)


def test_a_chunk_is_the_zlib_format_of_the_padded_part(volume, path):
    padded = np.pad(volume, [(0, -n % 64) for n in SHAPE])
    with h5py.File(path) as file:
        for corner in ((0, 0, 0), (128, 64, 64)):
            mask, packed = file["id"].id.read_direct_chunk(corner)
            part = padded[tuple(slice(k, k + 64) for k in corner)]
            assert mask == 0
            assert zlib.decompress(packed) == part.tobytes()


def test_rows_that_do_not_begin_with_a_chunk_are_refused(volume, tmp_path):
    with h5py.File(tmp_path / "volume.h5", "w") as file:
        dataset = create_packed(file, "id", SHAPE, volume.dtype, CHUNKS, LABELS)
        with pytest.raises(OSError, match="boundary"):
            write_chunks(dataset, 1, volume[1:65])


@pytest.mark.parametrize("level", HASHES)
def test_libdeflate_packs_a_chunk_as_it_did_when_files_were_published(level):
    z, y, x = np.mgrid[:64, :64, :64]
    labels = (z // 9 * 49 + (y + z // 3) // 11 * 7 + (x + y // 2) // 13).astype("<i4")
    packed = zlib_compress(labels.tobytes(), level)
    assert zlib.decompress(packed) == labels.tobytes()
    assert hashlib.sha256(packed).hexdigest() == HASHES[level], (
        "this version of libdeflate makes other bytes: say in CHANGELOG.md that the bytes of "
        "voxel files and tables change with it, and in docs/dataset.md from which version on"
    )
