"""The benchmark of datasets runs at toy size and measures what it says."""

from importlib import import_module

benchmark = import_module("dataset")


def test_a_build_is_measured_with_its_memory():
    what = benchmark.plan(benchmark.QUICK, 2, {})
    seconds, outcomes = benchmark.timed_build(what, 1)
    assert seconds > 0
    assert sorted(outcome.index for outcome in outcomes) == [0, 1]
    assert all(outcome.state == "made" and 2**25 < outcome.seconds < 2**31 for outcome in outcomes)


def test_the_whole_build_is_sound_and_told(tmp_path):
    size = benchmark.Size(count=2, meshes=1, parameters=benchmark.SMALL)
    told = {result.name: result for result in benchmark.whole_build(size, tmp_path / "d")}
    assert told["2 particles: verify, all levels"].details == "0 problems"
    files = [path.stat().st_size for path in (tmp_path / "d").rglob("*") if path.is_file()]
    assert told["2 particles: size"].value == sum(files) / 1e6


def test_the_cpu_time_of_one_particle_is_measured():
    times = [result.value for result in benchmark.one_particle(benchmark.QUICK)]
    assert len(times) == 3
    assert min(times) > 0
