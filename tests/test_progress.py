import re

from ensemble_vs_dropout.progress import EpochEnd, Progress


def end(epoch, epochs=10, stopped=None):
    return EpochEnd(0, epoch, epochs, {"loss": 0.5, "val_loss": 0.25}, epoch == epochs if stopped is None else stopped)


def told(capsys, networks=10, **settings):
    with Progress(networks * 10, **settings) as progress:
        for network in range(networks):
            for epoch in range(1, 11):
                progress.epoch(f"network {network + 1}", end(epoch))
    return capsys.readouterr().err.splitlines()


def test_a_job_says_a_line_at_each_tenth_and_not_at_its_end(capsys):
    lines = told(capsys, verbose=1, job=True)
    assert [line.split(" %")[0] for line in lines] == [str(10 * tenth) for tenth in range(1, 10)]
    assert all(re.fullmatch(r"\d0 %, about \d+ s left", line) for line in lines)


def test_a_verbose_job_says_a_line_for_each_network(capsys):
    lines = told(capsys, verbose=2, job=True)
    assert len(lines) == 10
    assert lines[3].startswith("network 4, epoch 10 of 10: loss 0.5000 val_loss 0.2500 (about ")


def test_training_says_a_line_for_each_network_or_each_epoch(capsys):
    assert len(told(capsys, verbose=1)) == 10
    assert len(told(capsys, verbose=2)) == 100
    assert told(capsys, verbose=0) == []


def test_what_stops_early_or_was_there_before_counts_as_done(capsys):
    with Progress(40, 1, job=True) as progress:
        for epoch in (1, 2, 3):
            progress.epoch("a", end(epoch, stopped=epoch == 3))
        assert capsys.readouterr().err.splitlines()[-1].startswith("20 %")  # with 10 of 40 epochs
        progress.reach(30)
        progress.expect(30)
        assert progress.left() == "about 0 s left"
        progress.expect(20)  # fewer than thought
        assert progress.left() == "about 0 s left"


def test_the_bar_never_goes_back_though_more_work_comes_to_light():
    progress = Progress(10, 0)
    shares = []
    for change in (lambda: progress.reach(5), lambda: progress.expect(20), lambda: progress.reach(4),
                   lambda: progress.reach(12), lambda: progress.expect(11)):  # fmt: skip
        change()
        shares.append(progress._bar.tasks[0].percentage)
    assert shares == [50, 50, 50, 60, 100]


def test_long_work_is_told_in_minutes(monkeypatch):
    clock = iter([0.0, 300.0])
    monkeypatch.setattr("ensemble_vs_dropout.progress.time.perf_counter", lambda: next(clock))
    progress = Progress(40, 0)
    progress.reach(10)
    monkeypatch.setattr("ensemble_vs_dropout.progress.time.perf_counter", lambda: 300.0)
    assert progress.left() == "about 15 min left"


def test_a_terminal_of_80_columns_shows_the_network_the_bar_and_the_time(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Progress(100, 1, job=True) as progress:
        assert progress.live
        progress.epoch("trial 10 of 10, dropout network 1 of very many", end(5))
        progress.reach(50)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err).replace("\r", "\n").splitlines()
    line = next(line for line in reversed(shown) if "50 %" in line)
    assert re.fullmatch(r"trial 10 of 10, dropout netwo.*… [━╸╺ ]+ 50 % -?[\d:-]+ left *", line), line
    assert len(line) <= 80
