import pytest

from cathodegrain.generator import machine as memory
from cathodegrain.generator.machine import available_memory

GB = 10**9
UNLIMITED = 9223372036854771712  # what version 1 says


@pytest.fixture
def computer(tmp_path, monkeypatch):
    """Files of a kernel with 8 GiB of available memory, and no groups."""
    monkeypatch.setattr(memory, "PROCESSES", tmp_path / "proc")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "sys")
    write(tmp_path / "proc/meminfo", "MemTotal: 33554432 kB\nMemAvailable: 8388608 kB\n")
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def in_groups(computer, *lines):
    write(computer / "proc/self/cgroup", "".join(f"{line}\n" for line in lines))


def group_1(folder, limit, usage, idle=0):
    write(folder / "memory.limit_in_bytes", f"{limit}\n")
    write(folder / "memory.usage_in_bytes", f"{usage}\n")
    write(folder / "memory.stat", f"inactive_file 1\ntotal_cache 5\ntotal_inactive_file {idle}\n")


def group_2(folder, limit, usage, idle=0):
    write(folder / "memory.max", f"{limit}\n")
    write(folder / "memory.current", f"{usage}\n")
    write(folder / "memory.stat", f"anon 5\ninactive_file {idle}\nactive_file 7\n")


def test_without_groups_it_is_what_the_kernel_says(computer):
    assert available_memory() == 8 * 1024**3


def test_without_limits_it_is_what_the_kernel_says(computer):
    in_groups(computer, "4:memory:/user", "0::/user")
    group_1(computer / "sys/memory/user", UNLIMITED, 3 * GB)
    group_2(computer / "sys/user", "max", 3 * GB)
    assert available_memory() == 8 * 1024**3


def test_a_container_has_its_limit_less_what_is_used_and_not_idle_cache(computer):
    in_groups(computer, "0::/")
    group_2(computer / "sys", 4 * GB, 3 * GB, idle=1 * GB)
    assert available_memory() == 2 * GB


def test_a_limit_beyond_what_the_computer_has_is_no_promise(computer):
    in_groups(computer, "0::/")
    group_2(computer / "sys", 100 * GB, 0)
    assert available_memory() == 8 * 1024**3


@pytest.mark.parametrize("limits", [(2, 3, 4), (4, 2, 3), (4, 3, 2)])
def test_the_least_of_all_groups_around_counts(computer, limits):
    in_groups(computer, "0::/slurm/job_7")
    for name, limit in zip(("slurm/job_7", "slurm", "."), limits, strict=True):
        group_2(computer / "sys" / name, limit * GB, 1 * GB)
    assert available_memory() == 1 * GB


def test_version_1_of_groups_is_asked_where_memory_has_its_own_tree(computer):
    in_groups(computer, "5:cpu,cpuacct:/other", "4:memory:/slurm/job_7", "0::/")
    group_1(computer / "sys/memory/slurm/job_7", 6 * GB, 4 * GB, idle=3 * GB)
    group_1(computer / "sys/memory/slurm", UNLIMITED, 9 * GB)
    group_1(computer / "sys/memory/other", 1, 0)  # a group that this process is not in
    assert available_memory() == 5 * GB


def test_a_container_that_does_not_see_its_group_by_name_has_the_limit_at_the_root(computer):
    in_groups(computer, "4:memory:/docker/0123abcd")
    group_1(computer / "sys/memory", 2 * GB, 1 * GB)
    assert available_memory() == 1 * GB


def test_a_group_with_more_than_it_may_have_has_nothing_left(computer):
    in_groups(computer, "0::/")
    group_2(computer / "sys", 1 * GB, 2 * GB)
    assert available_memory() == 0


def test_here_it_is_a_number_of_bytes_that_python_itself_would_fit_into():
    assert 1e6 < available_memory() < 1e15
