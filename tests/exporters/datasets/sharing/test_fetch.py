import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cathodegrain import open_dataset
from cathodegrain.exporters.datasets import manifest
from cathodegrain.exporters.datasets.checking.verify import verify
from cathodegrain.exporters.datasets.making.build import index_folder
from cathodegrain.exporters.datasets.making.engines import in_this_process
from cathodegrain.exporters.datasets.reading.access import files_of
from cathodegrain.exporters.datasets.reading.http_files import HttpFiles
from cathodegrain.exporters.datasets.reading.shards import PackedFiles, read_shards
from cathodegrain.exporters.datasets.sharing.fetch import choose, estimate, fetch
from cathodegrain.exporters.datasets.sharing.pack import pack, plan
from cathodegrain.exporters.files.provenance import sha256
from cathodegrain.generator.errors import CathodegrainError, DatasetError
from small_datasets import contents, make_dataset
from web_server import serving

RECIPE = "particles/00/p000001/recipe.h5"
VOXELS = "particles/00/p000001/voxels.vtkhdf"
SHARD = "particles-00000.zip"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("dataset") / "tiny")


@pytest.fixture(scope="module")
def packed(dataset, tmp_path_factory):
    return pack(dataset, tmp_path_factory.mktemp("packed"), plan(dataset, 300_000))


@pytest.fixture
def site(dataset):
    with serving(dataset) as site:
        yield site


@pytest.fixture
def packed_site(packed):
    with serving(packed) as site:
        yield site


@pytest.fixture
def own_site(dataset, tmp_path):
    """A site whose files a test may change."""
    with serving(shutil.copytree(dataset, tmp_path / "own")) as site:
        yield site


def hasty(site):
    """Files of a site, asked for with short pauses."""
    return HttpFiles(site.address, pause_s=0.001)


def fetched(files, out, select=None, limit=None, products=("recipe", "voxels"), **options):
    return fetch(choose(files, select=select, limit=limit, products=products), out, **options)


def first(site, out, **options):
    return fetched(hasty(site), out, "particle_id == 'p000001'", **options)


def small_particles(dataset):
    """A selection that holds for some particles, and their ids."""
    index = open_dataset(dataset).index
    n = int(index.n_grains.median())
    return f"n_grains <= {n}", list(index.particle_id[index.n_grains <= n])


@pytest.mark.parametrize("place", ["folder", "shards", "web", "web shards"])
def test_chosen_particles_arrive_byte_for_byte(dataset, packed, site, packed_site, tmp_path, place):
    sources = {
        "folder": files_of(dataset),
        "shards": files_of(packed),
        "web": files_of(site.address),
        "web shards": files_of(packed_site.address + "/"),
    }
    select, ids = small_particles(dataset)
    fetched(sources[place], tmp_path / "out", select)
    whole, part = contents(dataset), contents(tmp_path / "out")
    assert [particle.id for particle in open_dataset(tmp_path / "out")] == ids
    assert {n.split("/")[2] for n in part if n.startswith("particles/")} == set(ids)
    own = {"manifest-sha256.txt", "fetched.json"}
    assert all(part[n] == whole[n] for n in part if n not in own)
    assert manifest.read(tmp_path / "out") == manifest.hashes(tmp_path / "out")
    assert verify(tmp_path / "out", "geometry", in_this_process) == []
    for one in open_dataset(tmp_path / "out").select("particle_id != 'p000003'"):
        with one.voxels() as voxels, open_dataset(dataset)[one.id].voxels() as own:
            np.testing.assert_array_equal(voxels.grain_id, own.grain_id)


def test_only_what_is_chosen_is_asked_for(site, tmp_path):
    fetched(hasty(site), tmp_path / "out", limit=2, products=["recipe"])
    particles = {name for name in site.names() if name.startswith("particles/")}
    folders = ("particles/00/p000000", "particles/00/p000001")
    assert particles == {f"{f}/{n}" for f in folders for n in ("particle.json", "recipe.h5")}


def test_a_part_is_sound_without_what_was_not_fetched_and_not_without_what_was(dataset, tmp_path):
    out, files = tmp_path / "out", files_of(dataset)
    fetched(files, out, limit=2, products=["voxels"])
    origin = json.loads((out / "fetched.json").read_text())
    assert origin["manifest_sha256"] == sha256(dataset / "manifest-sha256.txt")
    assert verify(out, "geometry", in_this_process) == []
    fetched(files, out, "particle_id == 'p000003'", products=["recipe"])
    assert verify(out, "geometry", in_this_process) == []
    (out / "particles/00/p000000/voxels.vtkhdf").unlink()
    shutil.rmtree(out / "particles/00/p000003")
    found = verify(out, "sizes", in_this_process)
    assert "particles/00/p000000/voxels.vtkhdf: missing" in found
    assert "particles/00/p000003: missing, and no failure is recorded" in found
    with open(out / "particles/00/p000001/voxels.vtkhdf", "r+b") as file:
        file.seek(5000)
        file.write(b"x")
    changed = "particles/00/p000001/voxels.vtkhdf: changed since it was written"
    assert changed in verify(out, "hashes", in_this_process)


def test_a_file_of_somebody_else_is_not_replaced_by_the_mark_of_a_part(dataset, tmp_path):
    (tmp_path / "fetched.json").write_text('{"schema": "mine"}')
    with pytest.raises(CathodegrainError, match=r"fetched\.json is not valid"):
        fetched(files_of(dataset), tmp_path, limit=1)
    assert contents(tmp_path) == {"fetched.json": b'{"schema": "mine"}'}


def test_a_part_of_a_part_and_a_part_built_to_the_whole(dataset, tmp_path):
    fetched(files_of(dataset), tmp_path / "part", limit=3)
    fetched(files_of(tmp_path / "part"), tmp_path / "less", limit=1)
    assert verify(tmp_path / "less", "geometry", in_this_process) == []
    assert contents(make_dataset(tmp_path / "part")) == contents(dataset)


def test_the_index_of_a_part_stays_that_of_the_whole(dataset, tmp_path):
    fetched(files_of(dataset), tmp_path / "part", limit=1)
    before = contents(tmp_path / "part")
    with pytest.raises(
        DatasetError, match=r"part is a part that was fetched.*makes the rest of it"
    ):
        index_folder(tmp_path / "part", in_this_process)
    assert contents(tmp_path / "part") == before


def test_of_shards_only_the_parts_that_are_chosen_are_sent(packed, packed_site, tmp_path):
    files = files_of(packed_site.address)
    fetched(files, tmp_path / "out", "particle_id == 'p000001'", products=["recipe"])
    wanted = sum(map(len, contents(tmp_path / "out").values()))
    shards = sum(path.stat().st_size for path in packed.glob("*.zip"))
    assert packed_site.sent < wanted + 30_000 < shards
    assert ("particles-00000.zip", None) not in packed_site.requests


def test_a_second_call_fetches_nothing_and_a_larger_one_the_rest(site, tmp_path):
    out = tmp_path / "out"
    fetched(hasty(site), out, limit=1, products=["recipe"])
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.h5")}
    again = fetched(hasty(site), out, limit=1, products=["recipe"])
    assert (again["files"], again["bytes"]) == (0, 0)
    more = fetched(hasty(site), out, limit=2)
    assert more["files"] == 4  # voxels of the first, all of the second
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(open_dataset(out)) == 2
    assert manifest.read(out) == manifest.hashes(out)


def test_the_bytes_that_the_index_announces_are_fetched(site, tmp_path):
    wanted = choose(hasty(site), select="particle_id == 'p000001'", limit=None, products=["voxels"])
    expected = estimate(wanted)
    assert not tmp_path.joinpath("out").exists()
    counts = fetch(wanted, tmp_path / "out")
    assert (expected["particles"], expected["files"]) == (counts["particles"], counts["files"])
    assert expected["bytes"] == sum(
        p.stat().st_size for p in (tmp_path / "out/particles").rglob("*.*")
    )


def test_dropped_connections_are_taken_up_where_they_broke(own_site, tmp_path):
    big = np.random.default_rng(1).bytes(900_000)
    (own_site.folder / "model/weights.bin").write_bytes(big)
    manifest.write(manifest.hashes(own_site.folder), own_site.folder)
    own_site.fail("model/weights.bin", ("drop", 500_000), ("drop", 0), ("drop", 100_000))
    first(own_site, tmp_path / "out")
    assert (tmp_path / "out/model/weights.bin").read_bytes() == big
    starts = [
        int((span or "bytes=0-")[6:].split("-")[0])
        for name, span in own_site.requests
        if name == "model/weights.bin"
    ]
    assert starts[0] == 0 < 400_000 < starts[1] == starts[2] < starts[3]


def test_a_later_call_goes_on_where_an_earlier_one_broke_off(site, dataset, tmp_path):
    size = (dataset / VOXELS).stat().st_size
    site.fail(VOXELS, ("drop", size - 10), *[("drop", 0)] * 20)
    with pytest.raises(DatasetError, match=r"broke off, 6 times in a row; .* what is fetched"):
        first(site, tmp_path / "out")
    (part,) = (tmp_path / "out").glob(".*.tmp")
    kept = part.stat().st_size
    assert kept > 0
    site.faults[VOXELS].clear()
    first(site, tmp_path / "out")
    assert site.requests[-1] == (VOXELS, f"bytes={kept}-")
    assert (tmp_path / "out" / VOXELS).read_bytes() == (dataset / VOXELS).read_bytes()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_part_of_another_file_is_not_taken_for_the_beginning(site, dataset, tmp_path):
    sha256 = manifest.read(dataset)[VOXELS]
    size = (dataset / VOXELS).stat().st_size
    for content in (b"another beginning", b"x" * size, b"x" * (size + 5)):
        out = tmp_path / str(len(content))
        out.mkdir()
        (out / f".{sha256}.tmp").write_bytes(content)
        first(site, out)
        assert (out / VOXELS).read_bytes() == (dataset / VOXELS).read_bytes()


def test_a_server_without_ranges_sends_whole_files_again(site, dataset, tmp_path):
    size = (dataset / VOXELS).stat().st_size
    site.fail(VOXELS, ("drop", size - 10), ("ranges", False))
    first(site, tmp_path / "out")
    assert (tmp_path / "out" / VOXELS).read_bytes() == (dataset / VOXELS).read_bytes()


def test_shards_of_a_server_without_ranges_are_refused(packed_site):
    files = hasty(packed_site)
    packed_site.always["metadata-00000.zip"] = ("ranges", False)
    with pytest.raises(DatasetError, match="does not send parts of files; download the shards"):
        choose(PackedFiles(files, read_shards(files)), select=None, limit=1, products=["recipe"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_after_the_time_that_it_says(site, tmp_path, status):
    site.fail(RECIPE, ("status", status, {"Retry-After": "0"}), ("status", status, {}))
    first(site, tmp_path / "out")
    assert site.names().count(RECIPE) == 3


def test_waiting_times_are_numbers_or_dates(site, tmp_path):
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    site.fail(RECIPE, ("status", 503, {"Retry-After": past}))
    patient = HttpFiles(site.address, pause_s=1000)  # never waits by itself
    assert fetched(patient, tmp_path / "out", "particle_id == 'p000001'")["files"] > 0


@pytest.mark.parametrize(
    ("status", "headers", "message", "requests"),
    [
        (503, {}, "503 Service Unavailable, 6 times in a row; try again later", 6),
        (429, {"Retry-After": "7200"}, "429 .* asks to wait 7200 s; try again later", 1),
        (404, {}, r"does not exist \(the server answers 404\)", 1),
        (403, {}, "answers 403 Forbidden, expected the file", 1),
    ],
)
def test_a_server_that_refuses_is_quoted(site, tmp_path, status, headers, message, requests):
    site.always[RECIPE] = ("status", status, headers)
    with pytest.raises(DatasetError, match=message):
        first(site, tmp_path / "out")
    assert site.names().count(RECIPE) == requests
    assert not (tmp_path / "out" / RECIPE).exists()


def test_without_a_server_the_message_asks_for_the_network(site):
    gone = HttpFiles("http://127.0.0.1:9", attempts=2, pause_s=0.001)
    with pytest.raises(DatasetError, match=r"no connection .*is there a network"):
        choose(gone, select=None, limit=None, products=["recipe"])


def test_an_address_without_a_dataset_is_told_from_one_that_fails(tmp_path):
    with serving(tmp_path) as site:
        with pytest.raises(DatasetError, match="expected a dataset"):
            choose(hasty(site), select=None, limit=None, products=["recipe"])
        site.always["shards.json"] = ("status", 401, {})
        with pytest.raises(DatasetError, match="401 Unauthorized"):
            files_of(site.address)


@pytest.mark.parametrize("wrong", [b"", b"<html>login</html>", None])
def test_wrong_bytes_are_not_kept(site, dataset, tmp_path, wrong):
    right = (dataset / RECIPE).read_bytes()
    flipped = right[:1000] + bytes([right[1000] ^ 1]) + right[1001:]
    site.always[RECIPE] = ("body", flipped if wrong is None else wrong)
    with pytest.raises(DatasetError, match="has other bytes than the manifest says"):
        first(site, tmp_path / "out")
    assert not (tmp_path / "out" / RECIPE).exists()
    assert not list((tmp_path / "out").rglob(".*"))
    assert not list((tmp_path / "out").rglob("tmp*"))


def test_wrong_bytes_of_shards_are_not_kept(packed, tmp_path):
    own = shutil.copytree(packed, tmp_path / "own")
    shard = own / SHARD
    shard.write_bytes(shard.read_bytes().replace(b"grain_seed", b"grain_feed"))
    with pytest.raises(DatasetError, match="other bytes than the manifest says"):
        fetched(files_of(own), tmp_path / "out", limit=1)


def test_a_server_that_does_not_stop_sending_is_stopped(site, dataset, tmp_path):
    right = (dataset / VOXELS).read_bytes()
    site.always[VOXELS] = ("body", right + b"x" * 2_000_000)
    with pytest.raises(DatasetError, match=f"more than the {len(right)} bytes expected"):
        first(site, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_a_document_that_does_not_end_is_refused(site, tmp_path, monkeypatch):
    monkeypatch.setattr("cathodegrain.exporters.datasets.sharing.transfer.DOCUMENT_BYTES", 50_000)
    site.always["README.md"] = ("body", b"x" * 100_000)
    with pytest.raises(DatasetError, match=r"README.md .* more than the 50000 bytes"):
        first(site, tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt", "..\\outside.txt", "C:/x",
     "particles//x", "a/./b", "x\x1b[2J"],
)  # fmt: skip
def test_a_manifest_with_unsafe_names_is_refused_as_a_whole(own_site, tmp_path, name):
    path = own_site.folder / "manifest-sha256.txt"
    path.write_text(f"{'0' * 64}  {name}\n" + path.read_text("utf-8"), "utf-8")
    with pytest.raises(CathodegrainError, match="manifest"):
        first(own_site, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_manifest_and_metadata_that_disagree_are_refused(own_site, tmp_path):
    path = own_site.folder / "particles/00/p000001/particle.json"
    fields = json.loads(path.read_text("utf-8"))
    (recipe,) = [p for p in fields["products"] if p["path"] == "recipe.h5"]
    recipe["sha256"] = "0" * 64
    path.write_text(json.dumps(fields), "utf-8")
    manifest.write(manifest.hashes(own_site.folder), own_site.folder)
    with pytest.raises(DatasetError, match=r"particle.json and the manifest disagree"):
        first(own_site, tmp_path / "out")


def test_a_size_that_metadata_understate_is_refused(own_site, tmp_path):
    path = own_site.folder / "particles/00/p000001/particle.json"
    fields = json.loads(path.read_text("utf-8"))
    for product in fields["products"]:
        product["bytes"] = 10
    path.write_text(json.dumps(fields), "utf-8")
    manifest.write(manifest.hashes(own_site.folder), own_site.folder)
    with pytest.raises(DatasetError, match="more than the 10 bytes expected"):
        first(own_site, tmp_path / "out")


def test_a_folder_of_another_dataset_is_not_mixed_with_it(site, tmp_path):
    other = make_dataset(tmp_path / "other", count=1)
    before = contents(other)
    with pytest.raises(DatasetError, match="files of another dataset"):
        first(site, other)
    assert contents(other) == before


def test_a_file_in_the_way_is_replaced_only_if_asked(site, dataset, tmp_path):
    path = tmp_path / "out" / RECIPE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"my own notes")
    with pytest.raises(DatasetError, match=r"exists and is another file; --overwrite"):
        first(site, tmp_path / "out")
    assert path.read_bytes() == b"my own notes"
    first(site, tmp_path / "out", overwrite=True)
    assert path.read_bytes() == (dataset / RECIPE).read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"products": ["voxel"]}, "unknown product 'voxel'; did you mean 'voxels'"),
        ({"products": ["mesh"]}, "no chosen particle has the product 'mesh'; they have recipe, v"),
        ({"select": "n_grains > 1e9"}, "holds for none of the 4 particles"),
        ({"select": "grains > 1"}, "did you mean 'n_grains'"),
        ({"limit": 0}, "--limit is 0, expected 1 or more"),
    ],
)
def test_what_cannot_be_chosen_is_said_before_anything_is_fetched(site, tmp_path, options, message):
    with pytest.raises(DatasetError, match=message):
        fetched(hasty(site), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_hash_of_the_publishers_manifest_is_told(dataset, packed, tmp_path):
    text = (dataset / "manifest-sha256.txt").read_bytes()
    for k, place in enumerate((dataset, packed)):
        told = fetched(files_of(place), tmp_path / str(k), limit=1)["manifest_sha256"]
        assert told == hashlib.sha256(text).hexdigest()


def test_particles_without_a_product_are_counted(site, tmp_path):
    wanted = choose(hasty(site), select=None, limit=None, products=["recipe", "voxels"])
    assert wanted.lacking() == {"voxels": 1}
    assert fetch(wanted, tmp_path / "out")["particles"] == 4


def test_names_with_spaces_and_accents_are_fetched(own_site, tmp_path):
    (own_site.folder / "notes ä & b#1%.txt").write_text("ü", "utf-8")
    manifest.write(manifest.hashes(own_site.folder), own_site.folder)
    first(own_site, tmp_path / "a folder é")
    assert (tmp_path / "a folder é/notes ä & b#1%.txt").read_text("utf-8") == "ü"


@pytest.mark.parametrize("name", ["manifest-sha256.txt", RECIPE])
def test_a_redirection_to_files_of_this_computer_or_without_end_is_refused(site, tmp_path, name):
    for place in ("file:///etc/passwd", f"{site.address}/{name}"):
        site.always[name] = ("status", 302, {"Location": place})
        with pytest.raises(DatasetError, match=r"cannot be requested|redirects without end"):
            first(site, tmp_path / "out")
    assert not (tmp_path / "out" / name).exists()


def test_an_index_that_is_not_the_manifests_is_not_read(site, dataset):
    content = (dataset / "index/particles.parquet").read_bytes()
    site.always["index/particles.parquet"] = ("body", content + b"x")
    with pytest.raises(DatasetError, match=r"is not the file that manifest-sha256.txt lists"):
        choose(hasty(site), select=None, limit=None, products=["recipe"])


def test_pooch_takes_the_manifest_as_its_registry(site, dataset, tmp_path):
    pooch = pytest.importorskip("pooch")
    keeper = pooch.create(tmp_path, f"{site.address}/", registry=manifest.read(dataset))
    path = Path(keeper.fetch(RECIPE))
    assert path.read_bytes() == (dataset / RECIPE).read_bytes()
    site.always[VOXELS] = ("body", b"wrong")
    with pytest.raises(ValueError, match="hash"):
        keeper.fetch(VOXELS)


def test_a_wait_of_a_second_or_more_is_told(site, tmp_path, caplog):
    site.fail(RECIPE, ("status", 503, {"Retry-After": "1"}))
    first(site, tmp_path / "out")
    (record,) = caplog.records
    assert f"{RECIPE}: the server answers 503" in record.message
    assert record.message.endswith("asked again in 1 s")
