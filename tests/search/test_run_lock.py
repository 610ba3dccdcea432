"""A second process on a run is told of the first one."""

from nasctl.search.run_lock import in_use


def test_another_process_on_the_run_is_said(tmp_path):
    store = str(tmp_path / "s.db")
    with in_use(store, "one") as first, in_use(store, "two") as other, in_use(store, "one") as second:
        assert first == other == []
        assert second[0].startswith("Warning: another process works on run one too.")
    with in_use(store, "one") as again:
        assert again == []
